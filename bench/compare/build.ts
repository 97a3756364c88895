/** What is downloaded or compiled for a comparison goes to `.bench-compare/` in the checkout, which git ignores. */
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Launch, startChild } from './children.ts'

export const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url)).replace(/\/$/, '')
export const OUTPUT = join(REPOSITORY, '.bench-compare')
export const SOURCES = join(REPOSITORY, 'bench', 'compare')

/** A command that must be there, with the arguments that make it print its version. */
export interface Needed {
  readonly command: string
  readonly args: readonly string[]
}

export const JAVA: readonly Needed[] = [
  { command: 'java', args: ['-version'] },
  { command: 'javac', args: ['-version'] },
  { command: 'mvn', args: ['-version'] },
]
export const GO: readonly Needed[] = [{ command: 'go', args: ['version'] }]

/** @returns what it printed. @throws Error with what it said, unless it ended with 0. */
export async function run(launch: Launch): Promise<string> {
  const child = startChild(launch, ['ignore', 'pipe', 'pipe'])
  let said = ''
  child.stdout?.on('data', (data: Buffer) => (said += data.toString()))
  child.stderr?.on('data', (data: Buffer) => (said += data.toString()))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      if (status === 0) resolve(said)
      else reject(new Error(`${launch.command} ${launch.args[0]} ended with ${status}\n${said.slice(-2_000)}`))
    })
  })
}

/** @returns the first of the commands that is not there. */
export async function missing(needs: readonly Needed[]): Promise<string | undefined> {
  for (const { command, args } of needs) {
    try {
      await run({ command, args })
    } catch {
      // Not found, or not to be executed: either way it is missing.
      return command
    }
  }
  return undefined
}

/** Copies the jars that a pom names, unless they are there. @returns their directory. */
export async function jars(name: string): Promise<string> {
  const pom = join(SOURCES, 'java', name, 'pom.xml')
  const target = join(OUTPUT, name, 'lib')
  mkdirSync(join(OUTPUT, name), { recursive: true })
  if (!existsSync(target) || statSync(pom).mtimeMs > statSync(target).mtimeMs) {
    const args = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${target}`]
    await run({ command: 'mvn', args, cwd: join(OUTPUT, name) })
  }
  return target
}

/** Compiles the sources beside a pom against its jars. @returns the class path. */
export async function javaProgram(name: string): Promise<string> {
  const library = await jars(name)
  const classes = join(OUTPUT, name, 'classes')
  const folder = join(SOURCES, 'java', name, 'src', 'compare')
  const sources = readdirSync(folder).map((file) => join(folder, file))
  await run({ command: 'javac', args: ['-nowarn', '-d', classes, '-cp', join(library, '*'), ...sources] })
  return `${classes}:${join(library, '*')}`
}

/** Builds the load in `go/NAME` and the server that its module names as a tool. */
export async function goProgram(name: string, server: string, serverName: string): Promise<void> {
  mkdirSync(OUTPUT, { recursive: true })
  const cwd = join(SOURCES, 'go', name)
  for (const [target, from] of [[`${name}-load`, '.'] as const, [serverName, server] as const]) {
    const args = ['build', '-buildvcs=false', '-mod=readonly', '-o', join(OUTPUT, target), from]
    await run({ command: 'go', args, cwd })
  }
}
