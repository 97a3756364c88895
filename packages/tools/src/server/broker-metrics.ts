/** What `/metrics` of a broker shows; RocketMQ 5's names where one exists. Values are read when they are asked for. */
import type { Broker } from '@dledger-ts/broker'
import { Gauge, Registry } from 'prom-client'
import { collectProcessMetrics } from './process-metrics.ts'
import { collectStalls } from './stall-metrics.ts'

export function brokerMetrics(broker: Broker): Registry {
  const registry = new Registry()
  collectProcessMetrics(registry)
  collectStalls(registry)
  const gauge = (name: string, help: string, read: () => number): void => {
    // The registry keeps the gauge; it is collected when /metrics is asked.
    void new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  }
  gauge('dledger_term', 'Raft term of this member.', () => broker.status().term)
  gauge('dledger_is_leader', '1 while this member leads and serves writes.', () =>
    broker.status().role === 'LEADER' ? 1 : 0,
  )
  gauge('dledger_last_index', 'Index of the last entry of the log.', () => broker.status().lastIndex)
  gauge('dledger_commit_index', 'Index of the last committed entry.', () => broker.status().commitIndex)
  gauge('dledger_applied_index', 'Index of the last applied entry.', () => broker.status().appliedIndex)
  return registry
}
