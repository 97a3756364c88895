/**
 * A hard state that finds no room on the disk: the member stays, says so, and goes on when there is room.
 *
 * Keeps: D1 as ever, for what waits is not durable and is told to nobody: no vote, no answer in a new term. Meanwhile the member counts as
 * full, so that a leader hands over to one that has room; who does not lead counts as slow besides, and so does not stand for an
 * election: its vote for itself could not be written.
 */
import type { Logger } from '@dledger-ts/base'
import { StorageHealth } from '../raft/storage-health.ts'
import type { OpenedMember } from './open-member.ts'

type Room = Pick<OpenedMember, 'hardStateIsFull' | 'retryFullHardState'>

export class HardStateRoom {
  readonly #member: () => Room
  readonly #logger: Logger
  #wasFull = false

  constructor(member: () => Room, logger: Logger) {
    this.#member = member
    this.#logger = logger
  }

  /** Once a heartbeat: tries again what found no room. @returns bits of `StorageHealth`. */
  look({ leads }: { readonly leads: boolean }): number {
    const member = this.#member()
    const isFull = member.hardStateIsFull
    if (isFull !== this.#wasFull) {
      this.#wasFull = isFull
      if (isFull)
        this.#logger.warn({}, 'the hard state finds no room on the disk: this member does not vote until it does')
      else this.#logger.info({}, 'the hard state has found room on the disk')
    }
    if (!isFull) return 0
    member.retryFullHardState()
    return leads ? StorageHealth.FULL : StorageHealth.FULL | StorageHealth.SLOW
  }
}
