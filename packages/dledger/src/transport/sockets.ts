/**
 * Where the connections between members come from: this machine's TCP, or what the embedder makes of it, with TLS for one.
 *
 * Keeps: nothing in this package opens or accepts a socket by another way.
 */
import { connectPassing, createPassingServer } from '@dledger-ts/base'
import type { Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'

export interface PeerSockets {
  /** Begins to connect; the socket tells how that ends, by its `connectedEvent` for one. */
  readonly connect: (address: { readonly host: string; readonly port: number }) => Socket
  /** Not listening yet. Who connects speaks first. */
  readonly createServer: (accepted: (socket: Socket) => void) => Server
}

const KEEP_ALIVE_DELAY_MS = 10_000

export const tcpPeerSockets: PeerSockets = {
  connect: ({ host, port }) => connectPassing({ host, port }),
  createServer: (accepted) => createPassingServer(accepted),
}

/** What every connection between members is. */
export function tune(socket: Socket): void {
  socket.setNoDelay(true)
  socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS)
}

/** What a socket that connects emits once the peer can be written to. */
export function connectedEvent(socket: Socket): 'connect' | 'secureConnect' {
  return socket instanceof TLSSocket ? 'secureConnect' : 'connect'
}
