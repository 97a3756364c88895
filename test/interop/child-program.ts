/**
 * A child process that takes commands as lines, one at a time. What an answer looks like is the business of who hears what it prints:
 * client-program.ts and line-program.ts.
 *
 * Keeps: a command ends with its answer, with the process, or after ANSWER_TIMEOUT_MS; no child outlives this process.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'

export interface Launch {
  command: string
  args: readonly string[]
  cwd: string
  env: NodeJS.ProcessEnv
}

const ANSWER_TIMEOUT_MS = 180_000

const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

interface Waiting<Answer> {
  readonly command: string
  readonly resolve: (answer: Answer) => void
  readonly reject: (failure: Error) => void
}

export class ChildProgram<Answer> {
  readonly #child: ChildProcess
  readonly #exited: Promise<void>
  #waiting: Waiting<Answer> | null = null
  #ended: Error | null = null

  /**
   * Starts it. What it says on standard error goes to `logFile`.
   *
   * @param hear every line of its standard output.
   */
  constructor({ command, args, cwd, env }: Launch, logFile: string, hear: (line: string) => void) {
    const child = spawn(command, args, { cwd, env, stdio: 'pipe' })
    this.#child = child
    running.add(child)
    child.stderr.pipe(createWriteStream(logFile))
    createInterface({ input: child.stdout }).on('line', hear)
    child.stdin.on('error', (failure) => this.fail(failure))
    child.once('error', (failure) => this.fail(failure))
    this.#exited = new Promise((resolve) => {
      child.once('close', (status, signal) => {
        running.delete(child)
        this.fail(new Error(`the program ended with ${status ?? signal}; see ${logFile}`))
        resolve()
      })
    })
  }

  /** Waits for the answer that it gives unasked, when it is ready for commands. */
  ready(): Promise<Answer> {
    return this.#answer('its start', () => {})
  }

  /** Sends a command and waits for its answer. @throws Error for an answer that is an error. */
  ask(words: readonly (string | number)[]): Promise<Answer> {
    const command = words.join(' ')
    return this.#answer(command, () => this.#child.stdin?.write(`${command}\n`))
  }

  /** It has answered. */
  answered(answer: Answer): void {
    this.#waiting?.resolve(answer)
  }

  /** It has answered with an error, or will not answer. */
  refused(error: string): void {
    this.#waiting?.reject(new Error(`"${this.#waiting.command}": ${error}`))
  }

  /** It cannot be asked any more. */
  fail(failure: Error): void {
    this.#ended ??= failure
    this.refused(this.#ended.message)
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

  async #answer(command: string, ask: () => void): Promise<Answer> {
    if (this.#waiting !== null) throw new Error(`"${this.#waiting.command}" is not done yet`)
    if (this.#ended !== null) throw this.#ended
    const late = new Error(`"${command}" took longer than ${ANSWER_TIMEOUT_MS} ms`)
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#waiting = { command, resolve, reject }
        timer = setTimeout(() => reject(late), ANSWER_TIMEOUT_MS)
        ask()
      })
    } finally {
      clearTimeout(timer)
      this.#waiting = null
    }
  }
}
