/** A program that answers each command with lines, the last of them `done` or `error …`. */
import { ChildProgram, type Launch } from './child-program.ts'

export class LineProgram {
  readonly #program: ChildProgram<string[]>
  /** Programs log to standard output too: only lines that begin with one of these words are answers. */
  readonly #words: RegExp
  #lines: string[] = []

  /** Resolves when the program has said `done` for the first time. */
  static async start(launch: Launch, logFile: string, words: RegExp): Promise<LineProgram> {
    const program = new LineProgram(launch, logFile, words)
    await program.#program.ready()
    return program
  }

  private constructor(launch: Launch, logFile: string, words: RegExp) {
    this.#words = words
    this.#program = new ChildProgram(launch, logFile, (line) => this.#line(line))
  }

  /** @returns the lines of the answer. @throws Error for an answer that is an error. */
  ask(...words: readonly (string | number)[]): Promise<string[]> {
    this.#lines = []
    return this.#program.ask(words)
  }

  /** Ends its input and waits until it has ended. */
  stop(): Promise<void> {
    return this.#program.stop()
  }

  kill(): Promise<void> {
    return this.#program.kill()
  }

  #line(line: string): void {
    if (line === 'done') this.#program.answered(this.#lines)
    else if (line.startsWith('error ')) this.#program.refused(line.slice('error '.length))
    else if (this.#words.test(line)) this.#lines.push(line)
  }
}
