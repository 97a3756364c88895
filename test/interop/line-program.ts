/** A program that takes commands as lines and answers each with lines, the last of them `done` or `error …`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import type { Launch } from './client-program.ts'

const ANSWER_TIMEOUT_MS = 180_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

interface Waiting {
  readonly lines: string[]
  readonly resolve: (lines: string[]) => void
  readonly reject: (failure: Error) => void
}

export class LineProgram {
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  /** Programs log to standard output too: only lines that begin with one of these words are answers. */
  readonly #words: RegExp
  #waiting: Waiting | null = null
  #ended: Error | null = null

  /** Resolves when the program has said `done` for the first time. */
  static async start(launch: Launch, logFile: string, words: RegExp): Promise<LineProgram> {
    const program = new LineProgram(launch, logFile, words)
    await program.#answer('its start', () => {})
    return program
  }

  private constructor(launch: Launch, logFile: string, words: RegExp) {
    this.#words = words
    const child = spawn(launch.command, launch.args, { cwd: launch.cwd, env: launch.env, stdio: 'pipe' })
    this.#child = child
    running.add(child)
    child.stderr.pipe(createWriteStream(logFile))
    createInterface({ input: child.stdout }).on('line', (line) => this.#line(line))
    child.stdin.on('error', (failure) => this.#end(failure))
    child.once('error', (failure) => this.#end(failure))
    this.#exited = new Promise((resolve) => {
      child.once('close', (status, signal) => {
        running.delete(child)
        this.#end(new Error(`the program ended with ${status ?? signal}; see ${logFile}`))
        resolve()
      })
    })
  }

  /** @returns the lines of the answer. @throws Error for an answer that is an error. */
  ask(...words: readonly (string | number)[]): Promise<string[]> {
    const command = words.join(' ')
    return this.#answer(command, () => this.#child.stdin?.write(`${command}\n`))
  }

  /** Ends its input and waits until it has ended. */
  async stop(): Promise<void> {
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), ANSWER_TIMEOUT_MS)
    this.#child.stdin?.end()
    await this.#exited
    clearTimeout(timer)
  }

  kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    return this.#exited
  }

  async #answer(command: string, ask: () => void): Promise<string[]> {
    if (this.#ended !== null) throw this.#ended
    if (this.#waiting !== null) throw new Error('one command at a time')
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<string[]>((resolve, reject) => {
        this.#waiting = { lines: [], resolve, reject: (failure) => reject(new Error(command, { cause: failure })) }
        timer = setTimeout(() => reject(new Error(`no answer to ${command}`)), ANSWER_TIMEOUT_MS)
        ask()
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = null
    }
  }

  #line(line: string): void {
    const waiting = this.#waiting
    if (waiting === null) return
    if (line === 'done') waiting.resolve(waiting.lines)
    else if (line.startsWith('error ')) waiting.reject(new Error(line))
    else if (this.#words.test(line)) waiting.lines.push(line)
  }

  #end(failure: Error): void {
    this.#ended ??= failure
    this.#waiting?.reject(this.#ended)
  }
}
