/**
 * The backups under way on one member.
 *
 * Keeps: nothing is trimmed under a backup, and none begins while something is being removed; each is told its end once, and none
 * outlives the log that it copies.
 */
import type { Clock, Logger } from '@dledger-ts/base'
import type { NodeSettings } from '../config.ts'
import type { Disk } from '../disk/disk.ts'
import type { MemberId } from '../raft/messages.ts'
import type { Raft } from '../raft/raft.ts'
import type { ControlEnvelope } from '../state-machine.ts'
import { type BackedUp, Backup } from './backup.ts'
import type { CatchUpBudget } from './catch-up-budget.ts'
import { closed, type Life } from './life.ts'
import type { ReadEntries } from './log-reading.ts'
import type { OpenedMember } from './open-member.ts'
import type { Trimming } from './trimming.ts'

/** Who asks for a backup. */
export interface BackupRequest {
  readonly directory: string
  /** Who the copy's members are. */
  readonly members: readonly MemberId[]
}

export interface BackupsOptions {
  readonly clock: Clock
  readonly logger: Logger
  readonly disk: Disk
  readonly settings: NodeSettings
  readonly controlEnvelope: ControlEnvelope
  readonly budget: CatchUpBudget
  readonly life: Life
  /** The log is being replaced. */
  readonly isSwitching: () => boolean
}

/** What a backup copies: of the log in force when it begins. */
export interface BackupSource {
  readonly member: OpenedMember
  readonly raft: Raft
  readonly trimming: Trimming
  readonly commitIndex: number
  readonly readEntries: ReadEntries
}

export class Backups {
  readonly #options: BackupsOptions
  readonly #underWay = new Set<Backup>()

  constructor(options: BackupsOptions) {
    this.#options = options
  }

  /** @param onEnd told once, never within this call. @returns gives the backup up, for which `onEnd` is told the reason. */
  begin(
    { directory, members }: BackupRequest,
    { member, raft, trimming, commitIndex, readEntries }: BackupSource,
    onEnd: (error: Error | null, backedUp: BackedUp | null) => void,
  ): (reason: Error) => void {
    const { clock, logger, disk, settings, controlEnvelope, budget, life, isSwitching } = this.#options
    let ended = false
    const backup = new Backup({
      disk,
      directory,
      members,
      member,
      settings,
      clock,
      logger,
      controlEnvelope,
      budget,
      commitIndex,
      configuration: raft.configurationUpTo(commitIndex)?.configuration ?? null,
      readEntries,
      onEnd: (error, backedUp) => {
        if (ended) return
        ended = true
        if (this.#underWay.delete(backup)) trimming.release()
        clock.defer(() => onEnd(error, backedUp))
      },
    })
    trimming.hold()
    this.#underWay.add(backup)
    const begin = (): void => {
      if (ended) return
      if (!life.isOpen || isSwitching()) return backup.abort(closed())
      // What is being removed now is not there to be copied.
      if (trimming.isUnderWay) return void clock.after(1, begin)
      try {
        backup.start()
      } catch (error) {
        backup.abort(error as Error)
      }
    }
    begin()
    return (reason) => backup.abort(reason)
  }

  abortAll(reason: Error): void {
    for (const backup of this.#underWay) backup.abort(reason)
  }
}
