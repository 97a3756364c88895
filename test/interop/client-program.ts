/**
 * One client program as a child process: commands go in as lines, events come out as JSON lines. The programs in java/,
 * go/ and js/ speak this alike; `Event` is the whole of it.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

export interface Message {
  key: string
  tag: string
  queueId: number
  queueOffset: number
  msgId: string
}

export type Event =
  | { event: 'ready' }
  /** The outcome of each message sent, exactly one of these three. */
  | ({ event: 'acked' } & Message)
  | { event: 'failed'; key: string; tag: string; error: string }
  | { event: 'oneway'; key: string; tag: string }
  | ({ event: 'consumed'; consumer: string; body: string } & Message)
  /** A scenario has begun; it goes on when the leader is killed. */
  | { event: 'middle'; name: string }
  /** One scenario was checked. */
  | { event: 'check'; name: string; ok: boolean; detail: string }
  /** The answer to each command, exactly one of these two. */
  | { event: 'done'; command: string }
  | { event: 'error'; command: string; error: string }

export interface Launch {
  command: string
  args: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

const COMMAND_TIMEOUT_MS = 180_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

export class ClientProgram {
  readonly #child: ChildProcess
  readonly #handle: (event: Event) => void
  #waiting: { command: string; resolve: () => void; reject: (failure: Error) => void } | undefined
  #ended: Error | undefined

  /** Starts the program; what it says on standard error goes to `logFile`. Resolves when it is ready for commands. */
  static async start(launch: Launch, logFile: string, handle: (event: Event) => void): Promise<ClientProgram> {
    const program = new ClientProgram(launch, logFile, handle)
    await program.#answer('(start)', () => {})
    return program
  }

  private constructor(launch: Launch, logFile: string, handle: (event: Event) => void) {
    this.#handle = handle
    const child = spawn(launch.command, launch.args, { cwd: launch.cwd, env: launch.env, stdio: 'pipe' })
    this.#child = child
    running.add(child)
    child.stderr.pipe(createWriteStream(logFile))
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line))
    child.stdin.on('error', (failure) => this.#end(failure))
    child.once('error', (failure) => this.#end(failure))
    child.once('close', (status, signal) => {
      running.delete(child)
      this.#end(new Error(`the client program ended with ${status ?? signal}; see ${logFile}`))
    })
  }

  /** Sends one command and waits until it is done. One at a time. */
  async command(...words: (string | number)[]): Promise<void> {
    const line = words.join(' ')
    await this.#answer(line, () => this.#child.stdin?.write(`${line}\n`))
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }

  async #answer(command: string, ask: () => void): Promise<void> {
    if (this.#waiting !== undefined) throw new Error(`"${this.#waiting.command}" is not done yet`)
    if (this.#ended !== undefined) throw this.#ended
    const late = new Error(`"${command}" took longer than ${COMMAND_TIMEOUT_MS} ms`)
    let timer: NodeJS.Timeout | undefined
    try {
      await new Promise<void>((resolve, reject) => {
        this.#waiting = { command, resolve, reject }
        timer = setTimeout(() => reject(late), COMMAND_TIMEOUT_MS)
        ask()
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = undefined
    }
  }

  #line(line: string): void {
    let event: Event
    try {
      event = JSON.parse(line) as Event
    } catch (failure) {
      this.#end(new Error(`the client program printed something else than an event: ${line}`, { cause: failure }))
      return
    }
    if (event.event === 'ready' || event.event === 'done') this.#waiting?.resolve()
    else if (event.event === 'error') this.#waiting?.reject(new Error(`"${event.command}": ${event.error}`))
    else this.#handle(event)
  }

  #end(failure: Error): void {
    this.#ended ??= failure
    this.#waiting?.reject(this.#ended)
  }
}
