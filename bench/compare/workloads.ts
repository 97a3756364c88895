/** What is measured. Names are those of `--only`; the order is that of a session, in which the leader dies last. */
import type { Settings } from './loads/load-program.ts'
import type { Protocol } from './systems/system.ts'

export interface Workload {
  readonly name: string
  readonly title: string
  /** `start`: from the first process to the first acknowledgement. `watch`: no client does anything. */
  readonly kind: 'start' | 'load' | 'watch' | 'failover'
  /** Which clients can make it; none for a kind that needs none. */
  readonly clients: readonly string[]
  readonly protocols: readonly Protocol[]
  /** The command of the load program. */
  readonly command: string
  readonly settings: Settings
}

const EVERY_CLIENT = ['java', 'ours', 'go']
const EVERY_PROTOCOL: readonly Protocol[] = ['rocketmq', 'nats', 'etcd']
const KIB = 1024
/** The load's connection, so many senders or sends in flight. */
const SEND = { how: 'sync', senders: 1, size: KIB, batch: 1 }

function sending(name: string, title: string, settings: Settings, more: Partial<Workload> = {}): Workload {
  const all = { kind: 'load', command: 'send', clients: EVERY_CLIENT, protocols: EVERY_PROTOCOL } as const
  return { ...all, name, title, settings: { ...SEND, ...settings }, ...more }
}

export const WORKLOADS: readonly Workload[] = [
  {
    name: 'coldstart',
    title: 'cold start to the first acknowledged message',
    kind: 'start',
    clients: [],
    protocols: EVERY_PROTOCOL,
    command: 'first',
    settings: {},
  },
  sending('sync1', 'a lone sync sender, 1 KiB', {}),
  sending('sync64', '64 sync senders, 1 KiB', { senders: 64 }),
  sending('async256', '256 async in flight, 1 KiB', { how: 'async', senders: 256 }),
]

export function workload(name: string): Workload {
  const found = WORKLOADS.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no workload ${name}`)
  return found
}
