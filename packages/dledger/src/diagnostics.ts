/**
 * What happens inside a member, for `node:diagnostics_channel`: one message for a batch, none while nobody has subscribed.
 *
 *   dledger.append     { group, self, firstIndex, count, bytes, term }   a batch has its place in this member's log
 *   dledger.replicate  { group, self, peer, firstIndex, count, bytes }   a batch leaves for a peer
 *   dledger.sync       { group, self, index, tookMs }                    the log is synced up to `index`
 *   dledger.election   { group, self, role, term, leader, ready }        role, term, leader or readiness changed
 */
import { channel } from 'node:diagnostics_channel'
import type { NodeObserver } from './driver/observer.ts'
import type { MemberId } from './raft/messages.ts'
import type { RoleState } from './raft/output.ts'

const append = channel('dledger.append')
const replicate = channel('dledger.replicate')
const sync = channel('dledger.sync')
const election = channel('dledger.election')

export interface ObservedMember {
  readonly group: string
  readonly self: MemberId
  readonly onRole: (role: RoleState) => void
  readonly onPeer: (peer: MemberId, connected: boolean) => void
}

export class Diagnostics implements NodeObserver {
  readonly #member: ObservedMember

  constructor(member: ObservedMember) {
    this.#member = member
  }

  appended(firstIndex: number, count: number, bytes: number, term: number): void {
    if (!append.hasSubscribers) return
    const { group, self } = this.#member
    append.publish({ group, self, firstIndex, count, bytes, term })
  }

  replicated(peer: MemberId, firstIndex: number, count: number, bytes: number): void {
    if (!replicate.hasSubscribers) return
    const { group, self } = this.#member
    replicate.publish({ group, self, peer, firstIndex, count, bytes })
  }

  synced(index: number, tookMs: number): void {
    if (!sync.hasSubscribers) return
    const { group, self } = this.#member
    sync.publish({ group, self, index, tookMs })
  }

  elected(role: RoleState): void {
    const { group, self, onRole } = this.#member
    if (election.hasSubscribers) election.publish({ group, self, ...role })
    onRole(role)
  }

  peerChanged(peer: MemberId, connected: boolean): void {
    this.#member.onPeer(peer, connected)
  }
}
