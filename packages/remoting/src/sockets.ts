/**
 * Where connections come from: this machine's TCP, TLS over it (`tls/`), or a simulation's own network.
 *
 * Keeps: nothing in this package opens or accepts a socket by another way.
 */
import { connectPassing, createPassingServer } from '@dledger-ts/base'
import type { Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { SocketAddress } from './address.ts'

export interface Sockets {
  /** Begins to connect; the socket tells how that ends, by its `connectedEvent` for one. */
  readonly connect: (address: SocketAddress) => Socket
  /** Not listening yet. */
  readonly createServer: (accepted: (socket: Socket) => void) => Server
}

export const tcpSockets: Sockets = {
  connect: (address) => connectPassing(address),
  createServer: (accepted) => createPassingServer(accepted),
}

/** What a socket that connects emits once the peer can be written to. */
export function connectedEvent(socket: Socket): 'connect' | 'secureConnect' {
  return socket instanceof TLSSocket ? 'secureConnect' : 'connect'
}
