/**
 * Whether a member's status is another one than when it was last looked at.
 *
 * Keeps: no change of the log's range, its damage, the storage, the configuration, or of the state's way into the state machine goes
 * unnoticed for longer than a tick. Roles, peers and what is applied are told where they change; figures that move all the time
 * (bytes held, staleness, the scrubber's place) are no change.
 */
import type { LostRange } from '../log/lost-ranges.ts'
import type { SegmentedLog } from '../log/segmented-log.ts'
import type { StorageState } from './storage-watch.ts'

export class ChangeWatch {
  #firstIndex = Number.NaN
  #lastIndex = Number.NaN
  #lost: readonly LostRange[] = []
  #storage: StorageState = 'ok'
  #isRestoring = false
  #isRecovering = false
  #configurationIndex = Number.NaN

  /** Looks; nothing of it costs an allocation, so that it can be done once a pass. */
  hasChanged(
    log: Pick<SegmentedLog, 'firstIndex' | 'lastIndex' | 'lostRanges'>,
    storage: StorageState,
    isRestoring: boolean,
    isRecovering: boolean,
    configurationIndex: number,
  ): boolean {
    const { firstIndex, lastIndex } = log
    const lost = log.lostRanges()
    const isSame =
      firstIndex === this.#firstIndex &&
      lastIndex === this.#lastIndex &&
      lost === this.#lost &&
      storage === this.#storage &&
      isRestoring === this.#isRestoring &&
      isRecovering === this.#isRecovering &&
      configurationIndex === this.#configurationIndex
    if (isSame) return false
    this.#firstIndex = firstIndex
    this.#lastIndex = lastIndex
    this.#lost = lost
    this.#storage = storage
    this.#isRestoring = isRestoring
    this.#isRecovering = isRecovering
    this.#configurationIndex = configurationIndex
    return true
  }
}
