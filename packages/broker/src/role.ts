/**
 * What this member is to clients and name servers, from what the store says of Raft.
 *
 * A leader that has applied its first entry is broker id 0; everyone else has the number of its member id + 1. Before this member
 * has seen another leader, or takes messages itself, it has no role, and nobody is told of it: a route without a master helps no client.
 * A slave has one as soon as it has anything of its master: it serves readers without.
 */
import type { StoreStatus } from '@dledger-ts/store'
import type { BrokerConfig } from './config/config.ts'

export interface BrokerRole {
  readonly brokerId: number
  readonly isLeader: boolean
  /** For `status`: RECOVERING until a leader is known for the first time. */
  readonly name: 'LEADER' | 'CANDIDATE' | 'FOLLOWER'
}

/** @returns null while this member has not seen a leader since it started. */
export function roleOf(
  status: StoreStatus,
  { slaveId, classic }: Pick<BrokerConfig, 'slaveId' | 'classic'>,
  previous: BrokerRole | null,
): BrokerRole | null {
  if (status.role === 'LEADER' && status.ready) return { brokerId: 0, isLeader: true, name: 'LEADER' }
  const isCopy = classic === 'slave' && status.appliedIndex >= 0
  const hasRole = previous !== null || isCopy || (status.leader !== null && status.leader !== status.self)
  if (!hasRole) return null
  return { brokerId: slaveId, isLeader: false, name: roleName(status) }
}

/** As `status` shows it: a leader that is not ready yet is still a candidate to its clients. */
export function roleName(status: StoreStatus): BrokerRole['name'] {
  if (status.role === 'LEADER') return status.ready ? 'LEADER' : 'CANDIDATE'
  return status.role === 'FOLLOWER' ? 'FOLLOWER' : 'CANDIDATE'
}
