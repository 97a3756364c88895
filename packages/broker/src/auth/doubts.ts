/**
 * Requests that a member which does not lead would refuse, though its table of users and policies may lack what the leader has.
 *
 * Keeps:
 *   - each is judged by a table with all that was acknowledged before it came: who was allowed a moment ago elsewhere is not refused here;
 *   - none reaches the leader for it: all that came meanwhile share one question, the next of which begins when it is answered;
 *   - what waits is bounded, in requests and in bytes.
 */
import { background, type Logger } from '@dledger-ts/base'
import type { Connection, RemotingCommand } from '@dledger-ts/remoting'
import { StoreError } from '@dledger-ts/store'

/** Requests that wait at most, and their bytes. */
export const DOUBTS_MAX = 1_000
const DOUBTS_BYTES_MAX = 16 * 1024 * 1024

export interface AccessDoubtsOptions {
  /** Resolves when all that was acknowledged before the call is applied here. @throws StoreError. */
  caughtUp(): Promise<void>
  /** The table has all that it lacked. */
  judge(connection: Connection, request: RemotingCommand): void
  /** It is not known what the table lacks. */
  fail(connection: Connection, request: RemotingCommand, error: StoreError): void
  readonly logger: Logger
}

interface Doubt {
  readonly connection: Connection
  readonly request: RemotingCommand
}

export class AccessDoubts {
  readonly #options: AccessDoubtsOptions
  #waiting: Doubt[] = []
  #count = 0
  #bytes = 0
  #isAsking = false

  constructor(options: AccessDoubtsOptions) {
    this.#options = options
  }

  /** @returns false when too many wait. */
  put(connection: Connection, request: RemotingCommand): boolean {
    const bytes = request.receivedBytes
    if (this.#count >= DOUBTS_MAX || (this.#count > 0 && this.#bytes + bytes > DOUBTS_BYTES_MAX)) return false
    this.#count++
    this.#bytes += bytes
    this.#waiting.push({ connection, request })
    if (!this.#isAsking) background(this.#ask(), 'asking whether more is known of users', this.#options.logger)
    return true
  }

  async #ask(): Promise<void> {
    this.#isAsking = true
    try {
      while (this.#waiting.length > 0) await this.#askForAll()
    } finally {
      this.#isAsking = false
    }
  }

  async #askForAll(): Promise<void> {
    const asked = this.#waiting
    this.#waiting = []
    const failure = await this.#failure()
    for (const { connection, request } of asked) {
      this.#count--
      this.#bytes -= request.receivedBytes
      if (connection.isClosed) continue
      if (failure === null) this.#options.judge(connection, request)
      else this.#options.fail(connection, request, failure)
    }
  }

  async #failure(): Promise<StoreError | null> {
    try {
      await this.#options.caughtUp()
      return null
    } catch (error) {
      if (error instanceof StoreError) return error
      throw error
    }
  }
}
