/** One member's process as its test sees it: started, asked, killed, stopped and continued. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Ask, MemberConfig, Question, Said } from './conversation.ts'

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** The built program: from `dist` itself, and from the sources when vitest runs them. */
export const PROGRAM = fileURLToPath(
  new URL(
    import.meta.url.includes('/dist/') ? './member-program.js' : '../../dist/processes/members/member-program.js',
    import.meta.url,
  ),
)

const STDERR_CHARACTERS_KEPT = 20_000

/** The answer that a member gives when it cannot or will not: `UNKNOWN` is ours, for a process that ended or was too slow. */
export class Refused extends Error {
  readonly code: string
  readonly leader: string | null

  constructor(code: string, leader: string | null) {
    super(code)
    this.code = code
    this.leader = leader
  }
}

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (refused: Refused) => void
  readonly timer: NodeJS.Timeout
}

export interface Stopped {
  readonly code: string
  readonly message: string
}

export class MemberProcess {
  /** Resolves when it serves. Rejects when it ends before. */
  readonly up: Promise<void>
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, Waiting>()
  #number = 0
  #stderr = ''
  #isRunning = true
  #isUp = false
  /** Why it stopped itself, as it said. */
  stopped: Stopped | null = null

  /** @param prefix a command that runs the program, e.g. in a namespace of its own. */
  constructor(config: MemberConfig, prefix: readonly string[] = []) {
    const [command, ...args] = [...prefix, process.execPath, PROGRAM, JSON.stringify(config)]
    this.#child = spawn(command as string, args, { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] })
    running.add(this.#child)
    this.#child.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk.toString()).slice(-STDERR_CHARACTERS_KEPT)
    })
    this.ended = new Promise((resolve) => {
      this.#child.once('exit', () => {
        this.#isRunning = false
        this.#isUp = false
        running.delete(this.#child)
        for (const number of this.#waiting.keys()) this.#finish(number)?.reject(new Refused('UNKNOWN', null))
        resolve()
      })
    })
    this.up = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.on('message', (said: Said) => {
        if (said.kind === 'up') {
          this.#isUp = true
          resolve()
        } else this.#hear(said)
      })
      void this.ended.then(() => {
        reject(new Error(`${config.self} ended before it served: ${this.stopped?.message ?? ''}\n${this.#stderr}`))
      })
    })
    // Whoever waits hears of it; nobody has to.
    this.up.catch(() => {})
  }

  get isRunning(): boolean {
    return this.#isRunning
  }

  get isUp(): boolean {
    return this.#isUp
  }

  get stderr(): string {
    return this.#stderr
  }

  /** @throws Refused with a code of dledger's, or UNKNOWN when the process ended or did not answer in time. */
  ask(ask: Ask, timeoutMs: number): Promise<unknown> {
    const number = this.#number++
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#finish(number)?.reject(new Refused('UNKNOWN', null)), timeoutMs)
      this.#waiting.set(number, { resolve, reject, timer })
      const question: Question = { number, ask }
      if (!this.#child.connected) return this.#finish(number)?.reject(new Refused('UNKNOWN', null))
      this.#child.send(question, (error) => {
        if (error !== null) this.#finish(number)?.reject(new Refused('UNKNOWN', null))
      })
    })
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.ended
  }

  #hear(said: Exclude<Said, { kind: 'up' }>): void {
    if (said.kind === 'stopped') this.stopped = said
    else if (said.kind === 'answer') this.#finish(said.number)?.resolve(said.value)
    else this.#finish(said.number)?.reject(new Refused(said.code, said.leader))
  }

  #finish(number: number): Waiting | undefined {
    const waiting = this.#waiting.get(number)
    this.#waiting.delete(number)
    clearTimeout(waiting?.timer)
    return waiting
  }
}
