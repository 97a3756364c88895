/**
 * Where connections come from: this machine's TCP, unless a simulation has a network of its own.
 *
 * Keeps: nothing in this package opens or accepts a socket by another way.
 */
import { connect, createServer, type Server, type Socket } from 'node:net'
import type { SocketAddress } from './address.ts'

export interface Sockets {
  /** Begins to connect; the socket tells how that ends. */
  connect(address: SocketAddress): Socket
  /** Not listening yet. */
  createServer(accepted: (socket: Socket) => void): Server
}

export const tcpSockets: Sockets = {
  connect: (address) => connect(address),
  createServer: (accepted) => createServer(accepted),
}
