/**
 * A slave and its master: as long as it hears none, it looks for one, asks whether their logs fit, and follows it where they do.
 *
 * Keeps: no master is followed that has not said so; a log that went its own way is given up by whoever opened it, not here.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { MessageStore } from '@dledger-ts/store'
import { decodeAdvertised } from '../forwarding/advertised.ts'
import type { MasterAnswer, Masters } from './masters.ts'

/** How often it is looked whether a master is heard. */
const LOOK_MS = 500
/** A master that is followed is heard by then, or asked again. */
const HEARD_BY_MS = 3_000

export interface SlaveLinkOptions {
  readonly store: Pick<MessageStore, 'copies' | 'status' | 'isRebuilding'>
  readonly masters: Pick<Masters, 'find' | 'ask' | 'close'>
  readonly haAddress: string
  readonly clock: Clock
  readonly logger: Logger
  /** The log here has what its master has not: it parted from the master's after that entry. */
  readonly onParted: (lastIndex: number) => void
}

export class SlaveLink {
  readonly #options: SlaveLinkOptions
  #cancelLook: (() => void) | null = null
  /** Where the last master that was heard served its clients: it is asked though no name server lists it. */
  #lastAddress: string | null = null
  #followedMs = Number.NEGATIVE_INFINITY
  #isClosed = false
  #toldForeign = ''

  constructor(options: SlaveLinkOptions) {
    this.#options = options
  }

  start(): void {
    const { logger } = this.#options
    background(this.#look(), 'looking for the master', logger)
  }

  close(): void {
    this.#isClosed = true
    this.#cancelLook?.()
    this.#options.masters.close()
  }

  async #look(): Promise<void> {
    const { store, clock, logger } = this.#options
    const { leader, leaderAddress, self } = store.status()
    if (leader !== null && leader !== self) this.#lastAddress = decodeAdvertised(leaderAddress ?? '')?.address ?? null
    else if (clock.monotonicMs() - this.#followedMs >= HEARD_BY_MS) await this.#join()
    if (this.#isClosed) return
    this.#cancelLook = clock.after(LOOK_MS, () => background(this.#look(), 'looking for the master', logger))
  }

  async #join(): Promise<void> {
    const { store, masters, haAddress } = this.#options
    const listed = await masters.find()
    const addresses =
      this.#lastAddress === null || listed.includes(this.#lastAddress) ? listed : [...listed, this.#lastAddress]
    for (const address of addresses) {
      if (this.#isClosed) return
      const answer = await masters.ask(address, store.copies.standing(), haAddress)
      if (answer !== null && !this.#isClosed && this.#takeAnswer(answer)) return
    }
  }

  /** @returns whether this was the master to ask. */
  #takeAnswer(answer: MasterAnswer): boolean {
    const { store, logger, clock, onParted } = this.#options
    const { verdict, lastIndex, memberId, storeId, haAddress, address } = answer
    switch (verdict) {
      case 'FITS':
        logger.info({ master: memberId, address, haAddress }, 'this slave follows its master')
        this.#followedMs = clock.monotonicMs()
        store.copies.follow({ id: memberId, storeId, address: haAddress })
        return true
      case 'PARTED':
        this.close()
        onParted(lastIndex)
        return true
      default: {
        const why = `the log of this slave is not of the master at ${address}: to copy that one, start with an empty storePathRootDir`
        if (why !== this.#toldForeign) logger.error({ master: memberId, address, verdict }, why)
        this.#toldForeign = why
        return false
      }
    }
  }
}
