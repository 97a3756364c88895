/**
 * What this member is to clients and name servers, from what the store says of Raft.
 *
 * A leader that has applied its first entry is broker id 0; everyone else has the number of its member id + 1. Before this member
 * has seen another leader, or takes messages itself, it has no role, and nobody is told of it: a route without a master helps no client.
 */
import type { StoreStatus } from '@dledger-ts/store'

export interface BrokerRole {
  readonly brokerId: number
  readonly isLeader: boolean
  /** For `status`: RECOVERING until a leader is known for the first time. */
  readonly name: 'LEADER' | 'CANDIDATE' | 'FOLLOWER'
}

/** @returns null while this member has not seen a leader since it started. */
export function roleOf(status: StoreStatus, slaveId: number, previous: BrokerRole | null): BrokerRole | null {
  if (status.role === 'LEADER' && status.ready) return { brokerId: 0, isLeader: true, name: 'LEADER' }
  const hasRole = previous !== null || (status.leader !== null && status.leader !== status.self)
  if (!hasRole) return null
  return { brokerId: slaveId, isLeader: false, name: roleName(status) }
}

/** As `status` shows it: a leader that is not ready yet is still a candidate to its clients. */
export function roleName(status: StoreStatus): BrokerRole['name'] {
  if (status.role === 'LEADER') return status.ready ? 'LEADER' : 'CANDIDATE'
  return status.role === 'FOLLOWER' ? 'FOLLOWER' : 'CANDIDATE'
}
