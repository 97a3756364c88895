/**
 * Every process and directory that a comparison makes is gone when it ends, however it ends: at its end, at an error, at
 * SIGINT, SIGTERM or SIGHUP.
 */
import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Launch {
  readonly command: string
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

const running = new Set<ChildProcess>()
const directories = new Set<string>()

/** npm passes its settings on to children; they would bind what a child does to this project. */
const CLEAN_ENV = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
  for (const directory of directories) rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
})
for (const signal of SIGNALS) process.once(signal, () => process.exit(128 + constants.signals[signal]))

export function startChild({ command, args, cwd, env }: Launch, stdio: StdioOptions): ChildProcess {
  // Of a session of its own, as a server is: the scheduler shares the cores among sessions first.
  const child = spawn(command, args, { cwd, env: { ...CLEAN_ENV, ...env }, stdio, detached: true })
  running.add(child)
  child.once('exit', () => running.delete(child))
  // One that could not be started has no exit.
  child.once('error', () => running.delete(child))
  return child
}

/** Resolves when the process is gone. */
export async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (!running.has(child)) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill(signal)
  await gone
}

export function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'bench-compare-'))
  directories.add(directory)
  return directory
}

export function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 })
  directories.delete(directory)
}
