/**
 * Registers this broker with one name server, over a connection of its own that stays open.
 *
 * Keeps:
 *   N1  at most one registration is under way; a change meanwhile leads to one more right after it;
 *   N2  what failed is tried again after a second, until it succeeds; what succeeded is renewed every period;
 *   N3  when the connection is lost, it is made and registered again at once: the name server has forgotten us with it.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import {
  type Credentials,
  RemotingClient,
  type RemotingCommand,
  ResponseCode,
  type Sockets,
} from '@dledger-ts/remoting'

const RETRY_MS = 1_000
const UNREGISTER_TIMEOUT_MS = 1_000

export interface RegistrarOptions {
  readonly address: string
  readonly clock: Clock
  readonly logger: Logger
  readonly periodMs: number
  readonly timeoutMs: number
  /** For name servers that ask who registers. */
  readonly credentials?: Credentials
  /** Default: TCP. */
  readonly sockets?: Sockets
  /** The registration as it is now; null while the role is not known. */
  registration(): RemotingCommand | null
  unregistration(): RemotingCommand | null
}

export class Registrar {
  readonly #options: RegistrarOptions
  readonly #client: RemotingClient
  #isUnderWay = false
  #isWanted = false
  #isClosed = false
  #isRegistered = false
  #lastFault: string | null = null
  #cancelTimer: (() => void) | null = null

  constructor(options: RegistrarOptions) {
    this.#options = options
    this.#client = new RemotingClient({
      clock: options.clock,
      logger: options.logger,
      ...(options.credentials === undefined ? {} : { credentials: options.credentials }),
      ...(options.sockets === undefined ? {} : { sockets: options.sockets }),
      connectionClosed: () => this.#connectionLost(),
    })
  }

  get address(): string {
    return this.#options.address
  }

  get isRegistered(): boolean {
    return this.#isRegistered
  }

  /** Something that the name server should know changed. */
  register(): void {
    if (this.#isClosed) return
    if (this.#isUnderWay) {
      this.#isWanted = true
      return
    }
    const command = this.#options.registration()
    if (command === null) return
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#isUnderWay = true
    this.#isWanted = false
    this.#client.invokeCallback(this.#options.address, command, this.#options.timeoutMs, {
      responded: (response) =>
        this.#done(response.code === ResponseCode.SUCCESS ? null : `code ${response.code}: ${response.remark ?? ''}`),
      failed: (error) => this.#done(error.message),
    })
  }

  /** Says goodbye; `register` begins again. A name server that does not hear it forgets what is not renewed. */
  withdraw(): void {
    const command = this.#isRegistered || this.#isUnderWay ? this.#options.unregistration() : null
    if (this.#isClosed || command === null) return
    const { address, logger } = this.#options
    this.#cancelTimer?.()
    this.#cancelTimer = null
    this.#isWanted = false
    this.#isRegistered = false
    this.#client.invokeCallback(address, command, UNREGISTER_TIMEOUT_MS, {
      responded: () => logger.info({ namesrv: address }, 'unregistered'),
      failed: (error) => logger.info({ err: error, namesrv: address }, 'could not unregister'),
    })
  }

  /** Says goodbye, as far as the name server listens, and stops. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#cancelTimer?.()
    const command = this.#isRegistered ? this.#options.unregistration() : null
    if (command !== null) {
      try {
        await this.#client.invoke(this.#options.address, command, UNREGISTER_TIMEOUT_MS)
      } catch (error) {
        this.#options.logger.info({ err: error, namesrv: this.#options.address }, 'could not unregister')
      }
    }
    this.#client.close()
  }

  #done(fault: string | null): void {
    this.#isUnderWay = false
    if (this.#isClosed) return
    const { logger, address } = this.#options
    if (fault === null && !this.#isRegistered) logger.info({ namesrv: address }, 'registered')
    // Tried every second: the same fault is told once.
    if (fault !== null && fault !== this.#lastFault) logger.warn({ namesrv: address, fault }, 'registration failed')
    this.#lastFault = fault
    this.#isRegistered = fault === null
    if (fault === null && this.#isWanted) this.register()
    else this.#registerAfter(fault === null ? this.#options.periodMs : RETRY_MS)
  }

  #connectionLost(): void {
    // A registration under way fails by itself and is tried again.
    if (this.#isClosed || this.#isUnderWay || !this.#isRegistered) return
    this.#isRegistered = false
    this.#options.logger.warn({ namesrv: this.#options.address }, 'the connection to the name server was lost')
    this.register()
  }

  #registerAfter(delayMs: number): void {
    this.#cancelTimer?.()
    this.#cancelTimer = this.#options.clock.after(delayMs, () => {
      this.#cancelTimer = null
      this.register()
    })
  }
}
