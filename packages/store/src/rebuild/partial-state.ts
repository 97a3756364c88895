/**
 * What a store may say while much of the log is being applied again: nothing that the part to come could make wrong.
 *
 *   a message, by queue and offset or by place, that is applied          told
 *   what is certainly gone: below a queue's minimum                       told
 *   the end of a queue, a consumer's offset, "there is no such thing"     REBUILDING
 *
 * A reader that was told a queue's end too early would go back to it, and read everything twice; one that was told that its group has no
 * offset would begin elsewhere.
 */
import type { GetCallback, GetRequest, GetStatus, QueryResult } from '../api.ts'
import type { StoreMachine } from '../apply.ts'
import { StoreError } from '../errors.ts'
import type { FullRebuild } from './full-rebuild.ts'

/** They say that a queue has no more messages than are applied. */
const OF_THE_END: ReadonlySet<GetStatus> = new Set([
  'NO_MATCHED_LOGIC_QUEUE',
  'NO_MESSAGE_IN_QUEUE',
  'OFFSET_OVERFLOW_ONE',
  'OFFSET_OVERFLOW_BADLY',
])

export interface PartialStateOptions {
  readonly machine: StoreMachine
  readonly fullRebuild: Pick<FullRebuild, 'isUnderWay' | 'progress'>
}

export class PartialState {
  readonly #options: PartialStateOptions

  constructor(options: PartialStateOptions) {
    this.#options = options
  }

  /** Entries that the log had when the store was opened are still to be applied. Hot. */
  get isPartial(): boolean {
    return this.#options.fullRebuild.isUnderWay
  }

  /** @throws StoreError REBUILDING. */
  requireWhole(): void {
    if (this.isPartial) throw this.#rebuilding()
  }

  // Hot.
  get(request: GetRequest, read: (request: GetRequest, callback: GetCallback) => void, callback: GetCallback): void {
    // What is found out when all is applied stays true; what was found out before may be told later.
    if (!this.isPartial) return read(request, callback)
    read(request, (error, result) => {
      if (result !== null && OF_THE_END.has(result.status)) callback(this.#rebuilding(), null)
      else callback(error, result)
    })
  }

  /** @returns what was found out, unless it is `nothing`: that may be wrong. @throws StoreError REBUILDING. */
  async unless<Found>(nothing: Found, find: () => Promise<Found>): Promise<Found> {
    const { isPartial } = this
    const found = await find()
    if (isPartial && found === nothing) throw this.#rebuilding()
    return found
  }

  /** @throws StoreError REBUILDING where nothing is applied yet that could be at that place. */
  async messageAt(
    physicalOffset: number,
    find: (physicalOffset: number) => Promise<Buffer | undefined>,
  ): Promise<Buffer | undefined> {
    if (this.isPartial && physicalOffset >= this.#options.machine.applied.physicalEnd) throw this.#rebuilding()
    return find(physicalOffset)
  }

  /** What is found is told, and that there may be others. */
  async query(find: () => Promise<QueryResult>): Promise<QueryResult> {
    const { isPartial } = this
    const result = await find()
    return isPartial ? { ...result, isComplete: false } : result
  }

  #rebuilding(): StoreError {
    const { progress } = this.#options.fullRebuild
    const done = progress === null ? '' : `: ${progress.doneEntries} of ${progress.totalEntries} entries are`
    return new StoreError(`the log is being applied again${done}; ask again later`, { code: 'REBUILDING' })
  }
}
