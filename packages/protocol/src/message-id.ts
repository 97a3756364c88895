/**
 * The two ids of a message.
 *
 *   offsetMsgId  hex of  | address: 4 or 16 | port: 4 | physicalOffset: 8 |          where it is stored; made by the broker
 *   UNIQ_KEY     hex of  | address: 4 or 16 | pid: 2 | instance: 4 | ms since the start of the month: 4 | counter: 2 |
 *
 * Both are upper case, 32 or 56 characters. A client takes the commit-log offset of a transaction out of the first; the
 * second is opaque to everyone but tools that print its time.
 */
import { assert, type Clock, readInt64, writeUint32 } from '@dledger-ts/base'
import { ProtocolError } from './errors.ts'
import { type HostAddress, hostBytes, readHost, writeHost } from './host-address.ts'

const IPV4_ID_CHARS = 32
const IPV6_ID_CHARS = 56
const COUNTER_MASK = 0xffff
const DAY_MS = 86_400_000
const MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** Each byte in hex. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).toUpperCase().padStart(2, '0'))

/** Of the host that was asked for last: a broker has one. */
let knownHost: HostAddress | null = null
let knownHostHex = ''

/** Hot. @param host the address that the broker stores in the record; `physicalOffset` is the record's own. */
export function offsetMsgId(host: HostAddress, physicalOffset: number): string {
  assert(Number.isSafeInteger(physicalOffset) && physicalOffset >= 0, 'a record has a place')
  if (host !== knownHost) {
    const bytes = Buffer.allocUnsafe(hostBytes(host))
    writeHost(bytes, host, 0)
    knownHost = host
    knownHostHex = bytes.toString('hex').toUpperCase()
  }
  return knownHostHex + hex32(Math.floor(physicalOffset / 2 ** 32)) + hex32(physicalOffset >>> 0)
}

function hex32(value: number): string {
  return `${HEX[value >>> 24]}${HEX[(value >>> 16) & 0xff]}${HEX[(value >>> 8) & 0xff]}${HEX[value & 0xff]}`
}

/** @throws ProtocolError `BAD_TEXT` when it is not 32 or 56 hex digits or its offset is beyond 2^53. */
export function parseOffsetMsgId(text: string): { host: HostAddress; physicalOffset: number } {
  const isIpv6 = text.length === IPV6_ID_CHARS
  if ((!isIpv6 && text.length !== IPV4_ID_CHARS) || !/^[0-9a-fA-F]+$/.test(text)) throw badId(text)
  const bytes = Buffer.from(text, 'hex')
  const physicalOffset = readInt64(bytes, bytes.length - 8)
  if (Number.isNaN(physicalOffset)) throw badId(text)
  return { host: readHost(bytes, 0, isIpv6), physicalOffset }
}

/** Makes UNIQ_KEYs that no other process of this month makes, as long as (address, pid, instance) differ. */
export class UniqKeyGenerator {
  readonly #clock: Clock
  readonly #prefix: string
  readonly #utcOffsetMs: number
  #monthStartMs = 0
  #nextMonthMs = 0
  #counter = 0

  /**
   * @param instance any 32-bit number that tells two generators of one process apart; Java takes a class loader's hash.
   * @param utcOffsetMs how far local time is ahead of UTC: Java counts local months, and tools print the time so. Default 0.
   */
  constructor(options: { address: Buffer; pid: number; instance: number; clock: Clock; utcOffsetMs?: number }) {
    this.#clock = options.clock
    this.#utcOffsetMs = options.utcOffsetMs ?? 0
    const prefix = Buffer.alloc(options.address.length + 6)
    options.address.copy(prefix)
    prefix.writeUInt16BE(options.pid & 0xffff, options.address.length)
    writeUint32(prefix, options.instance >>> 0, options.address.length + 2)
    this.#prefix = prefix.toString('hex').toUpperCase()
  }

  /** Hot. */
  next(): string {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#nextMonthMs || nowMs < this.#monthStartMs) this.#enterMonth(nowMs)
    this.#counter = (this.#counter + 1) & COUNTER_MASK
    return this.#prefix + hex(nowMs - this.#monthStartMs, 8) + hex(this.#counter, 4)
  }

  #enterMonth(nowMs: number): void {
    const localDay = Math.floor((nowMs + this.#utcOffsetMs) / DAY_MS)
    const { dayOfMonth, daysInMonth } = monthOfDay(localDay)
    this.#monthStartMs = (localDay - dayOfMonth) * DAY_MS - this.#utcOffsetMs
    this.#nextMonthMs = this.#monthStartMs + daysInMonth * DAY_MS
  }
}

/** @param day days since 1970-01-01. @returns the day within its month, from 0, and how many that month has. */
function monthOfDay(day: number): { dayOfMonth: number; daysInMonth: number } {
  let year = 1970
  let rest = day
  for (let days = daysInYear(year); rest >= days; days = daysInYear(year)) {
    rest -= days
    year++
  }
  for (let month = 0; ; month++) {
    const daysInMonth = month === 1 ? daysInYear(year) - 337 : (MONTH_DAYS[month] ?? 31)
    if (rest < daysInMonth) return { dayOfMonth: rest, daysInMonth }
    rest -= daysInMonth
  }
}

function daysInYear(year: number): number {
  return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 366 : 365
}

function hex(value: number, digits: number): string {
  return (value >>> 0).toString(16).toUpperCase().padStart(digits, '0')
}

function badId(text: string): ProtocolError {
  return new ProtocolError(`not an offset message id: ${text.slice(0, 64)}`, {
    code: 'BAD_TEXT',
    what: 'offset message id',
    text,
  })
}
