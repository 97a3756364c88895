/**
 * A slave and its master: as long as it hears none, it looks for one, asks whether their logs fit, and follows it where they do.
 *
 * Keeps: no master is followed that has not said so. A log that went its own way is given up by whoever opened it, not here, and only when no
 * master there is fits, on a word that can be true and was given twice: anybody may be listed by a name server.
 */
import { background, type Clock, type Logger } from '@dledger-ts/base'
import type { CopyStanding, MessageStore } from '@dledger-ts/store'
import { decodeAdvertised } from '../forwarding/advertised.ts'
import type { MasterAnswer, Masters } from './masters.ts'

/** How often it is looked whether a master is heard. */
const LOOK_MS = 500
/** From the first word that this log goes its own way to the one that counts. */
const PARTED_AGAIN_MS = 3_000
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
  /** What was said, and since when it has been said at each look. */
  #parted: { readonly storeId: string; readonly lastIndex: number; readonly sinceMs: number } | null = null

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
    else if (clock.monotonicMs() - this.#followedMs >= HEARD_BY_MS) await this.#joinIfPossible()
    if (this.#isClosed) return
    this.#cancelLook = clock.after(LOOK_MS, () => background(this.#look(), 'looking for the master', logger))
  }

  /** Whatever goes wrong, it is looked again. */
  async #joinIfPossible(): Promise<void> {
    try {
      await this.#join()
    } catch (error) {
      this.#options.logger.warn({ err: error }, 'the master was not found, or could not be asked')
    }
  }

  async #join(): Promise<void> {
    const { store, masters, haAddress } = this.#options
    const listed = await masters.find()
    const addresses =
      this.#lastAddress === null || listed.includes(this.#lastAddress) ? listed : [...listed, this.#lastAddress]
    let parted: MasterAnswer | null = null
    for (const address of addresses) {
      const standing = store.copies.standing()
      const answer = await masters.ask(address, standing, haAddress)
      if (this.#isClosed) return
      if (answer === null) continue
      if (answer.verdict === 'FITS') return this.#follow(answer)
      if (answer.verdict === 'PARTED' && mayHaveParted(answer, standing)) parted ??= answer
      else this.#tellForeign(answer)
    }
    this.#takeParted(parted)
  }

  #follow({ memberId, storeId, haAddress, address }: MasterAnswer): void {
    const { store, logger, clock } = this.#options
    logger.info({ master: memberId, address, haAddress }, 'this slave follows its master')
    this.#parted = null
    this.#followedMs = clock.monotonicMs()
    store.copies.follow({ id: memberId, storeId, address: haAddress })
  }

  #takeParted(answer: MasterAnswer | null): void {
    const nowMs = this.#options.clock.monotonicMs()
    const before = this.#parted
    if (answer === null) this.#parted = null
    else if (before?.storeId !== answer.storeId || before.lastIndex !== answer.lastIndex) {
      this.#parted = { storeId: answer.storeId, lastIndex: answer.lastIndex, sinceMs: nowMs }
    } else if (nowMs - before.sinceMs >= PARTED_AGAIN_MS) {
      this.close()
      this.#options.onParted(answer.lastIndex)
    }
  }

  #tellForeign({ memberId, address, verdict }: MasterAnswer): void {
    const why =
      verdict === 'AHEAD'
        ? `this slave has what its master at ${address} had committed, and has lost: make this one the master, or empty its storePathRootDir`
        : `the log of this slave is not of the master at ${address}: to copy that one, start with an empty storePathRootDir`
    if (why !== this.#toldForeign) this.#options.logger.error({ master: memberId, address, verdict }, why)
    this.#toldForeign = why
  }
}

/** A log parts from another one's below its own end, and never from its own master's; by a term that is guessed nothing is known. */
function mayHaveParted({ storeId, lastIndex }: MasterAnswer, standing: CopyStanding): boolean {
  return lastIndex >= -1 && lastIndex < standing.lastIndex && storeId !== standing.masterStore && !standing.isGuessed
}
