/** One member of the group of the bench of long polling: a broker that tells what it used, its heap after a collection. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Broker, parseConfig } from '@dledger-ts/broker'

/** What the parent asks for; each is answered once. */
export type BrokerWish = 'status' | 'usage'

export interface BrokerUsage {
  readonly cpuMicros: number
  /** Of the heap and of buffers, after a collection. */
  readonly liveBytes: number
  readonly rssBytes: number
  /** The longest time that the event loop was held up since the last question, in milliseconds. */
  readonly stallMs: number
}

export interface BrokerState {
  readonly address: string
  readonly isLeader: boolean
}

const [directory = '', self = '', peers = '', flush = ''] = process.argv.slice(2)
const collect = globalThis.gc
if (collect === undefined) throw new Error('it is started with --expose-gc')
const { config } = parseConfig(
  {
    brokerClusterName: 'BenchCluster',
    brokerName: 'bench',
    brokerIP1: '127.0.0.1',
    bindAddress: '127.0.0.1',
    listenPort: '0',
    enableDLegerCommitLog: 'true',
    dLegerPeers: peers,
    dLegerSelfId: self,
    storePathRootDir: directory,
    mappedFileSizeCommitLog: '67108864',
    mappedFileSizeConsumeQueue: '20000',
    flushDiskType: flush,
  },
  { homeDirectory: directory, hostName: 'localhost', address: '127.0.0.1' },
)
const broker = new Broker(config, { onFatal: (error) => fail(error) })
await broker.start()
const delays = monitorEventLoopDelay({ resolution: 1 })
delays.enable()

process.on('message', (wish: BrokerWish) => {
  if (wish === 'status') {
    const state: BrokerState = { address: broker.address, isLeader: broker.store?.isReady() === true }
    process.send?.(state)
    return
  }
  const stallMs = delays.max / 1e6
  const { user, system } = process.cpuUsage()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  const usage: BrokerUsage = {
    cpuMicros: user + system,
    liveBytes: heapUsed + external,
    rssBytes: process.memoryUsage.rss(),
    stallMs,
  }
  process.send?.(usage)
  // The collection is not of the broker's making, and is noted in the next pass.
  setTimeout(() => delays.reset(), 20)
})
process.on('disconnect', () => {
  broker.close().then(
    () => process.exit(0),
    (error: Error) => fail(error),
  )
})
process.send?.('up')

function fail(error: Error): never {
  console.error(error)
  process.exit(1)
}
