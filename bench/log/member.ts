/** One process of a three-member group: opens its member, and when it leads and is told to, appends. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, type FlushDiskType, TcpTransport } from '@dledger-ts/dledger'
import { load, type LoadWish } from './load.ts'

const [directory = '', self = '', portList = '', flush = ''] = process.argv.slice(2)
const peers = portList.split(',').map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port: Number(port) }))
const own = peers.find((peer) => peer.id === self)
if (own === undefined) throw new Error(`no member ${self}`)

const log = await DLedger.open({
  directory,
  self,
  members: peers.map((peer) => peer.id),
  flushDiskType: flush as FlushDiskType,
  transport: new TcpTransport({
    self,
    listenHost: '127.0.0.1',
    listenPort: own.port,
    peers,
    clock: systemClock,
    logger: silentLogger,
  }),
})
process.on('message', (wish: LoadWish | 'cpu') => {
  if (wish === 'cpu') {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpu: user + system })
    return
  }
  void load(log, wish).then((result) => process.send?.({ result }))
})
process.on('disconnect', () => void log.close().then(() => process.exit()))
const tellReady = (): void => void (log.status().ready && process.send?.({ leads: self }))
log.on('role', tellReady)
tellReady()
