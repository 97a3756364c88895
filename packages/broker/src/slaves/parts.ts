/** What a broker at work has of a master and its slaves, by its configuration. */
import type { Clock } from '@dledger-ts/base'
import type { MessageStore } from '@dledger-ts/store'
import type { BrokerConfig } from '../config/config.ts'
import type { ServingOptions } from '../serving.ts'
import { MasterWatch } from './master-watch.ts'
import { SlaveGate } from './slave-gate.ts'
import { SlaveLink } from './slave-link.ts'

export function slaveGateOf(config: BrokerConfig, store: MessageStore, clock: Clock): SlaveGate | null {
  if (config.classic !== 'master' || config.brokerRole !== 'SYNC_MASTER') return null
  return new SlaveGate({
    clock,
    needed: Math.max(1, config.inSyncReplicas - 1),
    timeoutMs: config.slaveTimeout,
    gapBytesMax: config.haMaxGapNotInSync,
    copies: store.copies,
    replicas: () => store.replicas(),
    maxPhysicalOffset: () => store.status().maxPhysicalOffset,
  })
}

export function slaveLinkOf({ config, classic, store, clock, logger }: ServingOptions): SlaveLink | null {
  if (config.classic !== 'slave' || classic === undefined) return null
  return new SlaveLink({ ...classic, store, clock, logger })
}

export function masterWatchOf({ config, classic, store, clock, logger }: ServingOptions): MasterWatch | null {
  if (config.classic !== 'master' || classic === undefined) return null
  const { brokerName, registerNameServerPeriod: periodMs } = config
  return new MasterWatch({ ...classic, brokerName, store, periodMs, clock, logger })
}
