/** The member of a group on this machine that a process of a measurement is. */
import { silentLogger, systemClock } from '@dledger-ts/base'
import { DLedger, type DLedgerOptions, TcpTransport } from '@dledger-ts/dledger'

/** It is closed, and the process ends, when the parent is gone. */
export async function openMember(
  self: string,
  portList: string,
  options: Omit<DLedgerOptions, 'self' | 'members' | 'transport'>,
): Promise<DLedger> {
  const peers = portList.split(',').map((port, i) => ({ id: `n${i}`, host: '127.0.0.1', port: Number(port) }))
  const own = peers.find((peer) => peer.id === self)
  if (own === undefined) throw new Error(`no member ${self}`)
  const listen = { listenHost: own.host, listenPort: own.port }
  const log = await DLedger.open({
    ...options,
    self,
    members: peers.map((peer) => peer.id),
    transport: new TcpTransport({ self, ...listen, peers, clock: systemClock, logger: silentLogger }),
  })
  process.on('disconnect', () => void log.close().then(() => process.exit()))
  return log
}

/** Tells the parent `leads` now, if it does, and whenever it begins to. */
export function tellWhenLeading(log: DLedger): void {
  const { self } = log.status()
  const tellReady = (): void => void (log.status().ready && process.send?.({ leads: self }))
  log.on('role', tellReady)
  tellReady()
}
