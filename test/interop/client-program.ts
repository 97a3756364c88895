/**
 * One client program as a child process: commands go in as lines, events come out as JSON lines. The programs in java/,
 * go/ and js/ speak this alike; `Event` is the whole of it.
 */
import { ChildProgram, type Launch } from './child-program.ts'

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

export class ClientProgram {
  readonly #program: ChildProgram<void>
  readonly #handle: (event: Event) => void

  /** Resolves when it is ready for commands. */
  static async start(launch: Launch, logFile: string, handle: (event: Event) => void): Promise<ClientProgram> {
    const program = new ClientProgram(launch, logFile, handle)
    await program.#program.ready()
    return program
  }

  private constructor(launch: Launch, logFile: string, handle: (event: Event) => void) {
    this.#handle = handle
    this.#program = new ChildProgram(launch, logFile, (line) => this.#line(line))
  }

  /** Sends one command and waits until it is done. One at a time. */
  command(...words: (string | number)[]): Promise<void> {
    return this.#program.ask(words)
  }

  kill(): Promise<void> {
    return this.#program.kill()
  }

  #line(line: string): void {
    let event: Event
    try {
      event = JSON.parse(line) as Event
    } catch (failure) {
      this.#program.fail(new Error(`it printed something else than an event: ${line}`, { cause: failure }))
      return
    }
    if (event.event === 'ready' || event.event === 'done') this.#program.answered()
    else if (event.event === 'error') this.#program.refused(event.error)
    else this.#handle(event)
  }
}
