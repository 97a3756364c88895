/** What a store says of itself that knows no leader and holds nothing. */
import type { StoreStatus } from '@dledger-ts/store'

export function storeStatus(given: Partial<StoreStatus> = {}): StoreStatus {
  return {
    role: 'FOLLOWER',
    term: 1,
    self: 'n0',
    group: 'g',
    leader: null,
    leaderAddress: null,
    ready: false,
    storeId: 's',
    firstIndex: 0,
    lastIndex: -1,
    commitIndex: -1,
    appliedIndex: -1,
    maxPhysicalOffset: 0,
    rebuild: null,
    repairs: { queues: 0, progress: null },
    sendsRead: null,
    peers: [],
    ...given,
  }
}
