/**
 * An IP address and a port as a record stores them: 4 or 16 address bytes, then the port as int32.
 *
 *   | address: 4 or 16 | port: 4 |      8 or 20 bytes, big-endian
 *
 * Which of the two it is stands in the record's sysFlag. An IPv4 peer that a dual-stack socket shows as `::ffff:a.b.c.d`
 * is IPv4 here: stored as 16 bytes it would double every message id, and older clients could not decode the record.
 */
import { readInt32, writeInt32 } from '@dledger-ts/base'
import { ProtocolError } from './errors.ts'

export interface HostAddress {
  /** 4 bytes (IPv4) or 16 bytes (IPv6), network order. */
  readonly address: Buffer
  readonly port: number
}

export const IPV4_HOST_BYTES = 8
export const IPV6_HOST_BYTES = 20
const PORT_MAX = 0xffff

/** @returns the address of an IP literal; IPv4 in IPv6 clothes becomes IPv4. @throws ProtocolError `BAD_TEXT`. */
export function hostAddress(ip: string, port: number): HostAddress {
  if (!Number.isInteger(port) || port < 0 || port > PORT_MAX) throw badHost(`${ip}:${port}`)
  const address = ip.includes(':') ? parseIpv6(ip) : parseIpv4(ip)
  if (address === undefined) throw badHost(`${ip}:${port}`)
  return { address: isMappedIpv4(address) ? address.subarray(12) : address, port }
}

/** Parses `ip:port`; an IPv6 literal may stand in brackets, the port follows the last colon. @throws ProtocolError `BAD_TEXT`. */
export function parseHostAddress(text: string): HostAddress {
  const colon = text.lastIndexOf(':')
  const portText = text.slice(colon + 1)
  if (colon < 1 || !/^\d{1,5}$/.test(portText)) throw badHost(text)
  const ip = text.slice(0, colon)
  return hostAddress(ip.startsWith('[') && ip.endsWith(']') ? ip.slice(1, -1) : ip, Number(portText))
}

/** @returns `10.0.0.1:40000`, or for IPv6 the eight groups as Java prints them: `2001:db8:0:0:0:0:0:1:40000`. */
export function formatHostAddress(host: HostAddress): string {
  return `${formatIp(host.address)}:${host.port}`
}

/** @returns the address without the port. */
export function formatIp(address: Buffer): string {
  if (address.length === 4) return address.join('.')
  const groups: string[] = []
  for (let at = 0; at < address.length; at += 2) groups.push(address.readUInt16BE(at).toString(16))
  return groups.join(':')
}

export function isIpv6(host: HostAddress): boolean {
  return host.address.length === 16
}

/** @returns the bytes that the address and port take in a record. */
export function hostBytes(host: HostAddress): number {
  return isIpv6(host) ? IPV6_HOST_BYTES : IPV4_HOST_BYTES
}

/** Writes address and port. @returns the position after them. Hot. */
export function writeHost(target: Buffer, host: HostAddress, at: number): number {
  const address = host.address
  for (let i = 0; i < address.length; i++) target[at + i] = address[i] as number
  writeInt32(target, host.port, at + address.length)
  return at + address.length + 4
}

/** Reads address (copied) and port. */
export function readHost(source: Buffer, at: number, ipv6: boolean): HostAddress {
  const addressBytes = ipv6 ? 16 : 4
  return { address: Buffer.from(source.subarray(at, at + addressBytes)), port: readInt32(source, at + addressBytes) }
}

function parseIpv4(text: string): Buffer | undefined {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined
  return Buffer.from(parts.map(Number))
}

function parseIpv6(text: string): Buffer | undefined {
  const zoneAt = text.indexOf('%')
  const halves = (zoneAt < 0 ? text : text.slice(0, zoneAt)).split('::')
  if (halves.length > 2) return undefined
  const head = parseGroups(halves[0] as string)
  const tail = halves.length === 2 ? parseGroups(halves[1] as string) : Buffer.alloc(0)
  if (head === undefined || tail === undefined) return undefined
  const missing = 16 - head.length - tail.length
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined
  return Buffer.concat([head, Buffer.alloc(missing), tail])
}

/** Parses colon-separated groups, the last of which may be an IPv4 address. */
function parseGroups(text: string): Buffer | undefined {
  if (text === '') return Buffer.alloc(0)
  const groups = text.split(':')
  const bytes: number[] = []
  for (const [i, group] of groups.entries()) {
    if (i === groups.length - 1 && group.includes('.')) {
      const ipv4 = parseIpv4(group)
      if (ipv4 === undefined) return undefined
      bytes.push(...ipv4)
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined
      const value = Number.parseInt(group, 16)
      bytes.push(value >> 8, value & 0xff)
    }
  }
  return bytes.length <= 16 ? Buffer.from(bytes) : undefined
}

function isMappedIpv4(address: Buffer): boolean {
  if (address.length !== 16 || address[10] !== 0xff || address[11] !== 0xff) return false
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false
  return true
}

function badHost(text: string): ProtocolError {
  return new ProtocolError(`not an IP address and port: ${text}`, { code: 'BAD_TEXT', what: 'host address', text })
}
