/** Proposals that wait for their place in the log, first in, first out, and how many bytes of it they will take. */
import { assert } from '@dledger-ts/base'
import { ENTRY_HEADER_BYTES } from '../log/entry-batch.ts'
import type { Proposal } from '../state-machine.ts'

/** So many that are gone are let go together, once they are half of the array. */
const GONE_MAX = 1024

export class ProposalQueue {
  /** Empty before the head: what is gone keeps no body in memory. */
  #items: (Proposal | null)[] = []
  #head = 0
  #bytes = 0

  get length(): number {
    return this.#items.length - this.#head
  }

  /** With the headers of their entries. */
  get bytes(): number {
    return this.#bytes
  }

  /** Hot. */
  push(proposal: Proposal): void {
    this.#items.push(proposal)
    this.#bytes += ENTRY_HEADER_BYTES + proposal.bodyBytes
  }

  /** Hot. */
  shift(): Proposal {
    const proposal = this.#items[this.#head] ?? null
    assert(proposal !== null, 'a proposal is waiting')
    this.#items[this.#head++] = null
    this.#bytes -= ENTRY_HEADER_BYTES + proposal.bodyBytes
    if (this.#head === this.#items.length || (this.#head > GONE_MAX && this.#head * 2 > this.#items.length)) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return proposal
  }

  takeAll(): readonly Proposal[] {
    const all = this.#items.slice(this.#head) as Proposal[]
    this.#items = []
    this.#head = 0
    this.#bytes = 0
    return all
  }
}
