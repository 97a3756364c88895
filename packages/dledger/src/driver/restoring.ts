/**
 * Takes a received state in: after a switch, or at the next start when a crash came in between.
 *
 * Keeps: nothing is applied before it is in; the state machine is given nothing of it before all of it was found to be what was written; the file stays until the state machine has it for good. What the state machine throws
 * stops the member, and nothing else.
 */
import { assert } from '@dledger-ts/base'
import type { Disk } from '../disk/disk.ts'
import { DLedgerError } from '../errors.ts'
import type { IncomingSnapshot } from '../hard-state/hard-state-codec.ts'
import { SegmentFile } from '../log/segment-file.ts'
import type { StateMachine, StateRestore } from '../state-machine.ts'
import type { OpenedMember } from './open-member.ts'
import { checkStaged, discardIncoming, statePath } from './staging.ts'

const PIECE_BYTES = 1024 * 1024

export interface RestoringOptions {
  readonly disk: Disk
  readonly directory: string
  readonly member: OpenedMember
  readonly stateMachine: StateMachine
  readonly snapshot: IncomingSnapshot
  /** Simulation only: it is taken for good. */
  readonly isUnchecked?: boolean
  readonly whileRunning: (work: () => void) => void
  /** The state machine has it for good. */
  readonly onRestored: (index: number) => void
  readonly onFailed: (error: Error) => void
}

export class Restoring {
  readonly #options: RestoringOptions
  readonly #file: SegmentFile
  readonly #restore: StateRestore
  #at = 0
  #isOver = false

  constructor(options: RestoringOptions) {
    const { stateMachine, snapshot } = options
    this.#options = options
    assert(stateMachine.restore !== undefined, 'a state is received for a state machine that takes it')
    this.#file = new SegmentFile(options.disk.openSync(statePath(options.directory), { create: false }), 0)
    try {
      this.#restore = stateMachine.restore(snapshot.index)
    } catch (error) {
      this.#file.close()
      throw error
    }
  }

  start(): void {
    const { bytes, crc } = this.#options.snapshot
    if (this.#file.sizeSync() < bytes) return this.#fail(this.#damaged())
    // An older program has not remembered it.
    if (crc === undefined || bytes === 0 || this.#options.isUnchecked === true) return this.#next()
    checkStaged(this.#file, { bytes, crc }, (error, isGood) => {
      if (this.#isOver) return
      if (error !== null) return this.#fail(error)
      if (!isGood) return this.#fail(this.#damaged())
      this.#options.whileRunning(() => this.#next())
    })
  }

  /** The member stops: the next start begins again. Idempotent. */
  abort(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#restore.abort()
    this.#file.close()
  }

  #next(): void {
    const { snapshot } = this.#options
    const left = snapshot.bytes - this.#at
    if (left === 0) return this.#commit()
    const piece = Buffer.allocUnsafe(Math.min(left, PIECE_BYTES))
    this.#file.read(piece, this.#at, (error) => {
      if (this.#isOver) return
      if (error !== null) return this.#fail(error)
      this.#at += piece.length
      this.#options.whileRunning(() => this.#write(piece))
    })
  }

  #write(piece: Buffer): void {
    this.#restore.write(piece, (failure) => {
      if (this.#isOver) return
      if (failure !== null) this.#fail(failure)
      else this.#options.whileRunning(() => this.#next())
    })
  }

  #commit(): void {
    this.#restore.commit((error) => {
      if (this.#isOver) return
      if (error !== null) return this.#fail(error)
      this.#isOver = true
      this.#file.close()
      const { whileRunning, onRestored, snapshot, member, disk, directory, onFailed } = this.#options
      whileRunning(() => {
        onRestored(snapshot.index)
        member.writeHardState({ incoming: null }, (failure) => {
          if (failure !== null) return onFailed(failure)
          whileRunning(() => discardIncoming(disk, directory, { log: true, state: true }))
        })
      })
    })
  }

  /** The log that came with it is in place: there is no way back, and nothing of it may be made up. */
  #damaged(): DLedgerError {
    const { directory, snapshot } = this.#options
    const file = statePath(directory)
    const what = `${file} is not what was received for entry ${snapshot.index}: this member can be given the state anew with an empty directory`
    return new DLedgerError(what, { code: 'CORRUPT', file, at: 0 })
  }

  #fail(error: Error): void {
    this.abort()
    this.#options.onFailed(error)
  }
}
