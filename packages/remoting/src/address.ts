/** Addresses as text: `host:port`. */
import { RemotingError } from './errors.ts'

export interface SocketAddress {
  host: string
  port: number
}

const MAPPED_IPV4_PREFIX = '::ffff:'
const PORT_MAX = 65_535

/** @returns the IPv4 literal of an IPv4 peer that a dual-stack socket shows as `::ffff:a.b.c.d`, else `ip` itself. */
export function normalizedIp(ip: string): string {
  return ip.startsWith(MAPPED_IPV4_PREFIX) && ip.includes('.') ? ip.slice(MAPPED_IPV4_PREFIX.length) : ip
}

/** Splits at the last colon; an IPv6 literal may stand in brackets. @throws RemotingError `CONNECT_FAILED`. */
export function parseAddress(address: string): SocketAddress {
  const colon = address.lastIndexOf(':')
  const portText = address.slice(colon + 1)
  const port = /^\d{1,5}$/.test(portText) ? Number(portText) : -1
  if (colon < 1 || port < 1 || port > PORT_MAX) {
    throw new RemotingError(`${address} is not host:port`, { code: 'CONNECT_FAILED', address })
  }
  const host = address.slice(0, colon)
  return { host: host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host, port }
}
