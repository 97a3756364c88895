/**
 * A master by configuration: says in its log where slaves reach it, and looks whether another copy was made the master.
 *
 * Keeps: once it is known that it was replaced, it takes nothing more; it goes on looking, whatever goes wrong.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { MessageStore } from '@dledger-ts/store'
import type { Masters } from './masters.ts'

const RETRY_MS = 1_000
/** A slave that was not connected for so long is no slave any more; when it comes again it is let in again. */
export const GONE_MS = 3_600_000

export interface MasterWatchOptions {
  readonly brokerName: string
  readonly store: Pick<MessageStore, 'copies' | 'isReady'>
  readonly masters: Pick<Masters, 'find' | 'ask' | 'close'>
  readonly haAddress: string
  /** How often others are looked for. */
  readonly periodMs: number
  readonly clock: Clock
  readonly logger: Logger
}

export class MasterWatch {
  readonly #options: MasterWatchOptions
  #isNaming = false
  #cancelLook: (() => void) | null = null
  #cancelRetry: (() => void) | null = null
  #isClosed = false
  #toldRival = ''
  /** Since when slaves are not connected, as far as it was looked. */
  #awaySince = new Map<string, number>()

  constructor(options: MasterWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#lookLater()
  }

  /** It leads now, or does not yet. */
  roleChanged(): void {
    const { store, haAddress, logger } = this.#options
    if (this.#isNaming || this.#isClosed || !store.isReady() || store.copies.ownAddress === haAddress) return
    this.#isNaming = true
    background(this.#sayAddress(), 'saying where slaves reach this master', logger)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelLook?.()
    this.#cancelRetry?.()
    this.#options.masters.close()
  }

  /** @returns why this store leads nobody any more, as far as name servers know; null where it goes on. */
  async whyReplaced(): Promise<string | null> {
    const { masters, store, brokerName, logger } = this.#options
    for (const address of await masters.find()) {
      const answer = await masters.ask(address, store.copies.standing(), null)
      if (answer?.verdict === 'REPLACED' && answer.lastIndex <= store.copies.standing().lastIndex) {
        const { lastIndex } = answer
        return `the broker at ${address} was made the master of ${brokerName}: what is stored here counts up to entry ${lastIndex}`
      }
      if (answer === null || this.#toldRival === address) continue
      this.#toldRival = address
      logger.error({ address, verdict: answer.verdict }, `another master of ${brokerName} runs: clients send to either`)
    }
    return null
  }

  #lookLater(): void {
    const { clock, periodMs, logger } = this.#options
    if (this.#isClosed) return
    this.#cancelLook = clock.after(periodMs, () => background(this.#look(), 'looking for other masters', logger))
  }

  async #look(): Promise<void> {
    const why = await this.whyReplaced()
    if (this.#isClosed) return
    if (why === null) {
      try {
        await this.#dropThoseGone()
      } catch (error) {
        this.#options.logger.warn({ err: error }, 'a slave that is gone stays listed')
      }
      this.#lookLater()
    } else this.#options.store.copies.outdated(why)
  }

  /** What they lack is kept for nobody then, and what they said of damage holds nothing up. */
  async #dropThoseGone(): Promise<void> {
    const { store, clock, logger } = this.#options
    const nowMs = clock.monotonicMs()
    const away = new Map<string, number>()
    for (const { id, isConnected } of store.copies.slaves()) {
      if (!isConnected) away.set(id, this.#awaySince.get(id) ?? nowMs)
    }
    this.#awaySince = away
    for (const [id, sinceMs] of away) {
      if (nowMs - sinceMs < GONE_MS || !store.isReady()) continue
      logger.warn({ slave: id }, 'a slave that is gone for an hour is forgotten until it comes again')
      await store.copies.remove(id)
    }
  }

  async #sayAddress(): Promise<void> {
    const { store, haAddress, clock, logger } = this.#options
    try {
      await store.copies.setOwnAddress(haAddress)
    } catch (error) {
      if (this.#isClosed) return
      logger.warn({ err: error, haAddress }, 'the log does not say yet where slaves reach this master')
      this.#cancelRetry = clock.after(RETRY_MS, () => this.roleChanged())
    } finally {
      this.#isNaming = false
    }
  }
}
