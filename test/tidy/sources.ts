/** Reads the packages' sources and what each file imports, for the tests of the tree. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../..')

export interface Source {
  /** From the root of the repository. */
  readonly path: string
  readonly package: string
  readonly text: string
  /** The code without comments; strings are left as they are. */
  readonly code: string
  readonly imports: readonly { readonly from: string; readonly typeOnly: boolean }[]
}

/** What only tests use: fixtures beside them, and folders of helpers. */
const TEST_HELPER = /-fixture\.ts$|\/testing\//

/** All sources of the packages, tests and what only they use left out. */
export function packageSources(): Source[] {
  const found: Source[] = []
  for (const name of readdirSync(join(ROOT, 'packages'))) {
    for (const entry of readdirSync(join(ROOT, 'packages', name, 'src'), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue
      const path = relative(ROOT, join(entry.parentPath, entry.name))
      if (TEST_HELPER.test(path)) continue
      found.push(sourceOf(path, name, readFileSync(join(ROOT, path), 'utf8')))
    }
  }
  return found
}

/** The files of `test/simulation`. */
export function simulationSources(): Source[] {
  return readdirSync(join(ROOT, 'test', 'simulation'), { withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map(({ name }) => join('test', 'simulation', name))
    .map((path) => sourceOf(path, 'test', readFileSync(join(ROOT, path), 'utf8')))
}

export function sourceOf(path: string, packageName: string, text: string): Source {
  const code = text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '')
  const statements =
    /^(?:import|export)\s+(type\s)?(?:[^'"]*?\sfrom\s+)?['"]([^'"]+)['"]|\brequireModule\('([^']+)'\)/gm
  const imports = [...code.matchAll(statements)].map((match) => ({
    from: (match[2] ?? match[3]) as string,
    typeOnly: match[1] !== undefined,
  }))
  return { path, package: packageName, text, code, imports }
}

/** @returns the file that a relative import of `source` names. */
export function targetOf(source: Source, from: string): string {
  return relative(ROOT, resolve(ROOT, dirname(source.path), from))
}
