/**
 * Frames of many groups that wait for one connection: each group gets the same share of its bytes.
 *
 * Surplus round robin: a group's turn lasts while its credit is above nothing; a frame is taken whole and its bytes are
 * charged, so credit may go below, and the group then waits as many turns as it takes to earn that back.
 *
 * Keeps: frames of one group stay in order; while several groups wait, the bytes taken from any two of them differ by at most
 * one turn and one frame; a group that has nothing waiting keeps neither credit nor debt.
 */
import { assert } from '@dledger-ts/base'

export interface QueuedFrame {
  readonly head: Buffer
  readonly payload: readonly Buffer[] | null
  readonly bytes: number
}

/** What one group has waiting. */
export class Flow<Frame extends { readonly bytes: number } = QueuedFrame> {
  bytes = 0
  credit = 0
  readonly frames: Frame[] = []
}

/** Bytes earned with each turn. */
export const TURN_BYTES = 64 * 1024

export class FairQueue<F extends Flow<Frame>, Frame extends { readonly bytes: number } = QueuedFrame> {
  /** Those with something waiting; the first is the one whose turn it is. */
  #turns: F[] = []

  get isEmpty(): boolean {
    return this.#turns.length === 0
  }

  /** Whose frame comes next; makes turns pass until somebody has credit. */
  next(): F | null {
    for (;;) {
      const flow = this.#turns[0]
      if (flow === undefined) return null
      if (flow.credit > 0) return flow
      flow.credit += TURN_BYTES
      // Its turn begins only if that was enough.
      if (flow.credit > 0) return flow
      this.#turns.shift()
      this.#turns.push(flow)
    }
  }

  push(flow: F, frame: Frame): void {
    flow.frames.push(frame)
    flow.bytes += frame.bytes
    if (flow.frames.length === 1) this.#turns.push(flow)
  }

  /** Takes the next frame of the flow that `next` named. */
  take(flow: F): Frame {
    assert(this.#turns[0] === flow, 'it is the turn of the flow that a frame is taken from')
    const frame = flow.frames.shift() as Frame
    flow.bytes -= frame.bytes
    flow.credit -= frame.bytes
    if (flow.frames.length === 0) {
      flow.credit = 0
      this.#turns.shift()
    } else if (flow.credit <= 0) {
      this.#turns.shift()
      this.#turns.push(flow)
    }
    return frame
  }

  /** Drops what the flow has waiting. @returns how many frames. */
  drop(flow: F): number {
    const dropped = flow.frames.length
    if (dropped > 0) this.#turns.splice(this.#turns.indexOf(flow), 1)
    flow.frames.length = 0
    flow.bytes = 0
    flow.credit = 0
    return dropped
  }

  /** Drops everything. @returns how many frames. */
  dropAll(): number {
    let dropped = 0
    for (let flow = this.#turns[0]; flow !== undefined; flow = this.#turns[0]) dropped += this.drop(flow)
    return dropped
  }
}
