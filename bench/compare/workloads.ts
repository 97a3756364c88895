/** What is measured. Names are those of `--only`; the order is that of a session, in which the leader dies last. */
import type { Settings } from './loads/load-program.ts'
import type { Protocol } from './systems/system.ts'

export interface Workload {
  readonly name: string
  readonly title: string
  /**
   * `start`: from the first process to the first acknowledgement. `watch`: no client does anything. `machine`: no system
   * is up.
   */
  readonly kind: 'start' | 'load' | 'watch' | 'failover' | 'machine'
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

const ROCKETMQ: readonly Protocol[] = ['rocketmq']
/** What one laptop's disk takes three times in a few seconds. */
const LARGE_BYTES = 256 * KIB

function watching(name: string, title: string, kind: 'watch' | 'machine'): Workload {
  return { name, title, kind, clients: [], protocols: EVERY_PROTOCOL, command: '', settings: {} }
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
  sending('async256-100b', '256 async in flight, 100 B', { how: 'async', senders: 256, size: 100 }),
  sending('batch32', '8 senders of batches of 32, 1 KiB', { senders: 8, batch: 32 }, { protocols: ROCKETMQ }),
  sending(
    'large',
    '8 async in flight, 256 KiB',
    { how: 'async', senders: 8, size: LARGE_BYTES },
    { protocols: ROCKETMQ },
  ),
  {
    name: 'drain',
    title: 'one push consumer takes a backlog, 1 KiB',
    kind: 'load',
    clients: ['java'],
    protocols: ROCKETMQ,
    command: 'drain',
    settings: { count: 200_000, size: KIB },
  },
  {
    name: 'e2e',
    title: 'from send to listener at 500 a second, 1 KiB',
    kind: 'load',
    clients: ['java'],
    protocols: ROCKETMQ,
    command: 'e2e',
    settings: { rate: 500, size: KIB },
  },
  watching('idle', 'idle, after the loads', 'watch'),
  watching('memory', 'private memory of a broker, after the loads', 'watch'),
  {
    name: 'failover',
    title: "4 senders' gap after `kill -9` of the leader",
    kind: 'failover',
    clients: EVERY_CLIENT,
    protocols: EVERY_PROTOCOL,
    command: 'failover',
    settings: { senders: 4, size: KIB, within: 90, after: 3 },
  },
  watching('embedded', 'an embedded log of one member, 1,024 appends of 1 KiB in flight', 'machine'),
]
