/** What a broker at work has of a master and its slaves, by its configuration. */
import type { Clock } from '@dledger-ts/base'
import type { MessageStore } from '@dledger-ts/store'
import type { BrokerConfig } from '../config/config.ts'
import type { ServingOptions } from '../serving.ts'
import { MasterWatch } from './master-watch.ts'
import type { Masters } from './masters.ts'
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
    maxPhysicalOffset: () => store.maxPhysicalOffset(),
  })
}

/** @param judged what a master has said of the log here, before anything is done on it. */
export function slaveLinkOf(
  { config, classic, store, clock, logger }: ServingOptions,
  judged: (verdict: string) => void,
): SlaveLink | null {
  if (config.classic !== 'slave' || classic === undefined) return null
  const { masters } = classic
  const told: Pick<Masters, 'find' | 'ask' | 'close'> = {
    find: () => masters.find(),
    ask: async (...asked) => {
      const answer = await masters.ask(...asked)
      if (answer !== null) judged(answer.verdict)
      return answer
    },
    close: () => masters.close(),
  }
  return new SlaveLink({ ...classic, masters: told, store, clock, logger })
}

export function masterWatchOf({ config, classic, store, clock, logger }: ServingOptions): MasterWatch | null {
  if (config.classic !== 'master' || classic === undefined) return null
  const { brokerName, registerNameServerPeriod: periodMs } = config
  return new MasterWatch({ ...classic, brokerName, store, periodMs, clock, logger })
}
