/**
 * The state of this member for another one, and another one's for this.
 *
 *   give   newest checkpoint ──► a view of the database ──► stream
 *   take   checkpoints stop ──► staged ──► in place of the old state, whose files go ──► taken up as at a start
 *
 * Keeps: what was taken up has the same rows as that of a member that applied every entry; its ConsumeQueue files are built from
 * the log behind it, as after a power cut that took all of them.
 */
import type { Clock } from '@dledger-ts/base'
import type { StateRestore, StateSnapshot } from '@dledger-ts/dledger'
import type { StoreMachine } from '../apply.ts'
import type { Checkpointer } from '../checkpoint.ts'
import { StoreError } from '../errors.ts'
import { CHECKPOINT_KEY, decodeCheckpoint } from '../kept-rows.ts'
import type { MetadataStore } from '../metadata/metadata-store.ts'
import { finishRestore, StagedRestore } from './state-restore.ts'
import { RESTORING_KEY, restoredCheckpoint } from './state-rows.ts'
import { ViewSnapshot } from './state-snapshot.ts'

type Callback = (error: Error | null) => void

export interface StateTransferOptions {
  readonly machine: StoreMachine
  readonly metadata: MetadataStore
  readonly checkpointer: Checkpointer
  readonly clock: Clock
  /** Another state was taken up. */
  readonly onRestored: () => void
}

export class StateTransfer {
  readonly #options: StateTransferOptions

  constructor(options: StateTransferOptions) {
    this.#options = options
  }

  open(callback: (error: Error | null, snapshot: StateSnapshot | null) => void): void {
    const { metadata, checkpointer, clock } = this.#options
    if (checkpointer.isVoid) return clock.defer(() => callback(noCheckpoint(), null))
    const view = metadata.view()
    view.range({ from: CHECKPOINT_KEY, before: `${CHECKPOINT_KEY}\0`, limit: 1 }, (error, [row]) => {
      try {
        if (error !== null) throw error
        if (row === undefined) throw noCheckpoint()
        callback(null, new ViewSnapshot(view, decodeCheckpoint(row.value).mark))
      } catch (failure) {
        view.close()
        callback(failure as Error, null)
      }
    })
  }

  restore(index: number): StateRestore {
    const { metadata, checkpointer } = this.#options
    return new StagedRestore({
      metadata,
      index,
      begin: (ready) => checkpointer.hold(ready),
      adopt: (callback) => this.#adopt(callback),
      over: () => checkpointer.release(),
    })
  }

  /** At a start, before anything is taken up: finishes what a crash ended when another state was whole already. */
  finish(callback: Callback): void {
    const { metadata } = this.#options
    metadata.range({ from: RESTORING_KEY, before: `${RESTORING_KEY}\0`, limit: 1 }, (error, [row]) => {
      // What cannot be read is found out when all is taken up.
      if (error !== null || row === undefined) return callback(null)
      metadata.load((loadError) => {
        if (loadError !== null) return callback(null)
        this.#replace(callback)
      })
    })
  }

  #replace(callback: Callback): void {
    const { metadata, checkpointer } = this.#options
    const discard = (): void => checkpointer.discardFiles()
    finishRestore({ metadata, checkpointRow: restoredCheckpoint, discard }, callback)
  }

  #adopt(callback: Callback): void {
    const { machine, checkpointer, onRestored } = this.#options
    machine.forget()
    this.#replace((error) => {
      if (error !== null) return callback(error)
      checkpointer.load((failure) => {
        if (failure !== null) return callback(failure)
        if (machine.appliedIndex === -1) return callback(unusable())
        checkpointer.release()
        callback(null)
        // The log knows by now that it is applied, and gives it.
        onRestored()
      })
    })
  }
}

function noCheckpoint(): StoreError {
  return new StoreError('there is no checkpoint yet', { code: 'BUSY' })
}

function unusable(): StoreError {
  const what = 'the state of another member cannot be taken up'
  return new StoreError(what, { code: 'CORRUPT', what, physicalOffset: -1 })
}
