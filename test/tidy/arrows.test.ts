/**
 * Imports go one way: which package may look at which, no cycles among files, nothing undeclared, and no clock, timer,
 * randomness or I/O in the pure parts. Each failure says which way to turn the arrow.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { packageSources, ROOT, simulationSources, type Source, sourceOf, targetOf } from './sources.ts'

const MAY_LOOK_AT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  protocol: ['base'],
  dledger: ['base'],
  store: ['base', 'protocol', 'dledger'],
  remoting: ['base'],
  namesrv: ['base', 'remoting'],
  broker: ['base', 'protocol', 'remoting', 'dledger', 'store'],
  client: ['base', 'protocol', 'remoting'],
  tools: ['base', 'protocol', 'dledger', 'store', 'remoting', 'namesrv', 'broker', 'client'],
}

/** Folders and files that decide and never do: given what they need, they could run anywhere. */
const PURE: readonly RegExp[] = [
  /^packages\/dledger\/src\/raft\//,
  /^packages\/dledger\/src\/driver\//,
  /^packages\/dledger\/src\/(config|configuration-codec)\.ts$/,
  /^packages\/dledger\/src\/log\//,
  /^packages\/protocol\/src\//,
  /^packages\/namesrv\/src\/route-table(\.ts$|\/)/,
]
const IMPURE_WORDS =
  /(?<![.#])\b(Date\b|performance\.|Math\.random|crypto\.|setTimeout|setInterval|setImmediate|queueMicrotask|process\.)|\bnew Promise\b/
/** All of the simulation but what starts it: programs, workers and tests. */
const SIMULATED: readonly RegExp[] = [
  /^test\/simulation\/(?!main\.|long-run\.|mutants\.|pool\.|worker\.|mutant-worker\.|.*\.test\.)/,
]
/** What a pure part may import of Node: functions of their arguments only. */
const PURE_NODE_MODULES = new Set(['node:zlib', 'node:path', 'node:util'])

const sources = packageSources()

function wrongArrows(all: readonly Source[]): string[] {
  const found: string[] = []
  for (const source of all) {
    for (const { from } of source.imports) {
      const target = /^@dledger-ts\/([^/]+)(\/.*)?$/.exec(from)
      if (target === null) continue
      const name = target[1] as string
      if (target[2] !== undefined) found.push(`${source.path} imports ${from}: import the package's index`)
      if (name !== source.package && !(MAY_LOOK_AT[source.package] ?? []).includes(name)) {
        found.push(
          `${source.path} looks at ${name}, but ${source.package} may look only at ` +
            `${(MAY_LOOK_AT[source.package] ?? []).join(', ') || 'nothing'}: pass it in as an argument or move the code up`,
        )
      }
    }
  }
  return found
}

function impurities(all: readonly Source[], pure: readonly RegExp[] = PURE): string[] {
  const found: string[] = []
  for (const source of all) {
    if (!pure.some((pattern) => pattern.test(source.path))) continue
    const word = IMPURE_WORDS.exec(source.code)
    if (word !== null) found.push(`${source.path} uses ${word[0]}: take a Clock, a Random or the value as an argument`)
    for (const { from, typeOnly } of source.imports) {
      if (from.startsWith('node:') && !typeOnly && !PURE_NODE_MODULES.has(from)) {
        found.push(`${source.path} imports ${from}: pure parts do no I/O`)
      }
    }
  }
  return found
}

function cycles(all: readonly Source[]): string[] {
  const edges = new Map<string, string[]>()
  for (const source of all) {
    edges.set(
      source.path,
      source.imports
        .filter(({ from, typeOnly }) => from.startsWith('.') && !typeOnly)
        .map(({ from }) => targetOf(source, from)),
    )
  }
  const found: string[] = []
  const done = new Set<string>()
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path)
    if (at >= 0) {
      found.push(`${[...trail.slice(at), path].join(' -> ')}: move what both need into a file that imports neither`)
      return
    }
    if (done.has(path)) return
    for (const next of edges.get(path) ?? []) visit(next, [...trail, path])
    done.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return found
}

describe('the tree', () => {
  test('packages look only where the table allows', () => {
    expect(wrongArrows(sources)).toEqual([])
  })

  test('every package declares what it imports, and declares no more', () => {
    for (const name of Object.keys(MAY_LOOK_AT)) {
      const manifest = JSON.parse(readFileSync(join(ROOT, 'packages', name, 'package.json'), 'utf8')) as {
        dependencies?: Record<string, string>
      }
      const imported = new Set<string>()
      for (const source of sources) {
        if (source.package !== name) continue
        for (const { from } of source.imports) {
          if (from.startsWith('.') || from.startsWith('node:')) continue
          imported.add(from.startsWith('@') ? from.split('/').slice(0, 2).join('/') : (from.split('/')[0] as string))
        }
      }
      imported.delete(`@dledger-ts/${name}`)
      expect({ name, dependencies: Object.keys(manifest.dependencies ?? {}).sort() }).toEqual({
        name,
        dependencies: [...imported].sort(),
      })
    }
  })

  test('no file imports itself through others', () => {
    expect(cycles(sources)).toEqual([])
  })

  test('the pure parts have no clock, timer, randomness or I/O', () => {
    expect(impurities(sources)).toEqual([])
  })

  test('what happens in a simulation has no clock, timer, randomness or I/O of its own', () => {
    expect(impurities(simulationSources(), SIMULATED)).toEqual([])
  })

  test('every file opens with what it is for', () => {
    const bare = sources.filter(
      ({ path, text }) => !path.endsWith('index.ts') && !/^(import [^\n]+\n+)*\/\*\*/.test(text),
    )
    expect(bare.map(({ path }) => `${path}: say at the top what it keeps true`)).toEqual([])
  })

  test('every file is imported by another one or is a program', () => {
    const imported = new Set(sources.flatMap((source) => source.imports.map(({ from }) => targetOf(source, from))))
    const roots =
      /\/(index|internals)\.ts$|^packages\/tools\/src\/(mq[a-z]+|quickstart-[a-z]+|fast-try\/main)\.ts$|(-conformance|\/memory-disk)\.ts$/
    expect(sources.map(({ path }) => path).filter((path) => !imported.has(path) && !roots.test(path))).toEqual([])
  })
})

describe('the checks themselves', () => {
  test('see a wrong arrow, a cycle, a clock and an import of I/O', () => {
    const planted = [
      sourceOf(
        'packages/base/src/a.ts',
        'base',
        "import { Raft } from '@dledger-ts/dledger'\nimport { b } from './b.ts'\n",
      ),
      sourceOf('packages/base/src/b.ts', 'base', "import { a } from './a.ts'\n"),
      sourceOf('packages/dledger/src/raft/c.ts', 'dledger', "import { readFileSync } from 'node:fs'\nDate.now()\n"),
    ]
    expect(wrongArrows(planted)).toHaveLength(1)
    expect(cycles(planted)).toHaveLength(1)
    expect(impurities(planted)).toHaveLength(2)
  })
})
