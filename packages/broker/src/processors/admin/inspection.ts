/** All that tools ask a broker and that changes nothing. */
import type { BrokerContext } from '../../context.ts'
import type { Processor } from '../registry.ts'
import { connectionProcessors } from './connections.ts'
import { groupProcessors } from './groups.ts'
import { queueProcessors } from './queues.ts'
import { replicationProcessors } from './replication.ts'
import { runtimeProcessors } from './runtime.ts'
import { Scans } from './scans.ts'
import { statisticsProcessors } from './statistics.ts'
import { tableProcessors } from './tables.ts'

export function inspectionProcessors(context: BrokerContext): [number, Processor][] {
  const scans = new Scans(context.clock, context.store)
  return [
    ...queueProcessors(context, scans),
    ...groupProcessors(context, scans),
    ...connectionProcessors(context),
    ...tableProcessors(context, scans),
    ...statisticsProcessors(context),
    ...runtimeProcessors(context),
    ...replicationProcessors(context),
  ]
}
