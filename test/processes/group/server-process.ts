/** One mqbroker or mqnamesrv as a child process, for tests that start servers one by one. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { REPOSITORY } from './fast-try.ts'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export type ServerProgram = 'mqbroker' | 'mqnamesrv'

export interface Ended {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export function serverScript(program: ServerProgram): string {
  return join(REPOSITORY, 'packages', 'tools', 'bin', `${program}.js`)
}

export class ServerProcess {
  readonly ended: Promise<Ended>
  readonly #child: ChildProcess
  #stdout = ''
  #stderr = ''

  constructor(program: ServerProgram, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    const child = spawn(process.execPath, [serverScript(program), ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#child = child
    running.add(child)
    child.stdout.on('data', (chunk: Buffer) => (this.#stdout += chunk.toString()))
    child.stderr.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', (status, signal) => {
        running.delete(child)
        resolve({ status, signal, stdout: this.#stdout, stderr: this.#stderr })
      })
    })
  }

  get pid(): number {
    return this.#child.pid as number
  }

  get stderr(): string {
    return this.#stderr
  }

  /** True until the process is gone. */
  get runs(): boolean {
    return running.has(this.#child)
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async stop(): Promise<Ended> {
    this.signal('SIGTERM')
    return this.ended
  }
}
