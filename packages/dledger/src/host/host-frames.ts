/**
 * What one node says to another about many groups. The control parts of frames, each a flat array:
 *
 *   JOIN      number, hello …               from now on, on this connection, `number` is this group's member here
 *   LEAVE     number                        it no longer is; the number is not used again
 *   ACCEPTED  number, group                 your member of this group, as you numbered it, fits ours
 *   REFUSED   number, group, why            it does not
 *   MESSAGES  (number, count, values …) …   messages of any groups, gathered in one pass of the event loop
 *   LOADED    number, values …              one message with the payload that follows
 *
 * JOIN and LEAVE are said on both channels; ACCEPTED, REFUSED and MESSAGES on control, LOADED on data. Numbers are chosen by the
 * side that sends them, for the life of its process, and mean something only on the connection on which they were joined:
 * a frame never overtakes the JOIN that explains it.
 *
 * The values of a message, and of a hello, are those of a connection of one group (message-codec.ts, greeting.ts).
 */
import type { MemberId, Message } from '../raft/messages.ts'
import type { Scalar } from '../transport/control-part.ts'
import { FrameError } from '../transport/frame-codec.ts'
import { type Channel, helloOf, helloValues, refusalOf, refusalValues } from '../transport/greeting.ts'
import { type Correspondents, messageOf, messageValues } from '../transport/message-codec.ts'
import type { Hello, Refusal } from '../transport/transport.ts'

const JOIN = 111
const LEAVE = 112
const ACCEPTED = 113
const REFUSED = 114
const MESSAGES = 115
const LOADED = 116

/** Values in one control part at most; a longer one closes its connection. */
export const CONTROL_VALUES_MAX = 8_192
const TEXT_CHARACTERS_MAX = 1_024

/** A member of the other node, as it joined on one connection. */
export interface Joined {
  readonly number: number
  readonly hello: Hello
  readonly between: Correspondents
}

export interface Delivery {
  readonly joined: Joined
  readonly message: Message
}

export type HostFrame =
  | { readonly kind: 'JOIN'; readonly joined: Joined }
  | { readonly kind: 'LEAVE'; readonly number: number }
  | { readonly kind: 'ACCEPTED'; readonly number: number; readonly group: string }
  | { readonly kind: 'REFUSED'; readonly number: number; readonly group: string; readonly refusal: Refusal }
  | { readonly kind: 'MESSAGES'; readonly deliveries: readonly Delivery[] }

/** Who has joined on the connection that a frame came on. */
export type FindJoined = (number: number) => Joined | undefined

export function joinValues(number: number, hello: Hello): Scalar[] {
  return [JOIN, number, ...helloValues(hello)]
}

export function leaveValues(number: number): Scalar[] {
  return [LEAVE, number]
}

export function acceptedValues(number: number, group: string): Scalar[] {
  return [ACCEPTED, number, group]
}

export function refusedValues(number: number, group: string, refusal: Refusal): Scalar[] {
  return [REFUSED, number, group, ...refusalValues(refusal)]
}

/** Hot. */
export function loadedValues(number: number, message: Message): Scalar[] {
  const values = messageValues(message)
  values.unshift(LOADED, number)
  return values
}

/** Messages of any groups that leave together, within the limits of one frame. */
export class Bundle {
  #values: Scalar[] = [MESSAGES]
  /** No less than what the control part will have. */
  #bytes = 0

  get isEmpty(): boolean {
    return this.#values.length === 1
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @returns false when it does not fit any more; a bundle with nothing in it takes every message. */
  add(number: number, message: Message, bytesMax: number): boolean {
    const values = messageValues(message)
    const bytes = bytesOf(values) + 2 * NUMBER_BYTES_MAX
    const full = this.#bytes + bytes + ARRAY_HEAD_BYTES_MAX + 1 > bytesMax
    if (!this.isEmpty && (full || this.#values.length + values.length + 2 > CONTROL_VALUES_MAX)) return false
    this.#values.push(number, values.length, ...values)
    this.#bytes += bytes
    return true
  }

  /** Empties it. */
  take(): Scalar[] {
    const values = this.#values
    this.#values = [MESSAGES]
    this.#bytes = 0
    return values
  }
}

/** Of MessagePack: a float64; the head of an array of up to 65,535 values. */
const NUMBER_BYTES_MAX = 9
const ARRAY_HEAD_BYTES_MAX = 3

function bytesOf(values: readonly Scalar[]): number {
  let bytes = 0
  for (const value of values) bytes += typeof value === 'string' ? 3 + Buffer.byteLength(value) : NUMBER_BYTES_MAX
  return bytes
}

/** @throws FrameError when the values are no frame of a host, or name a number that nobody has joined with. */
export function hostFrameOf(
  channel: Channel,
  { from, to }: { readonly from: MemberId; readonly to: MemberId },
  values: readonly unknown[],
  payloadBytes: number,
  find: FindJoined,
): HostFrame {
  if (payloadBytes > 0 && values[0] !== LOADED) fail('only a loaded message carries a payload')
  switch (values[0]) {
    case JOIN: {
      const number = whole(values[1], 'a number')
      const hello = helloOf(values.slice(1))
      if (hello.member !== from) fail(`a member of node "${from}" has its name, not "${hello.member}"`)
      return { kind: 'JOIN', joined: { number, hello, between: { from, to, storeId: hello.storeId } } }
    }
    case LEAVE:
      count(values, 2)
      return { kind: 'LEAVE', number: whole(values[1], 'a number') }
    case ACCEPTED:
      count(values, 3)
      return { kind: 'ACCEPTED', number: whole(values[1], 'a number'), group: text(values[2], 'a group') }
    case REFUSED:
      count(values, 7)
      return {
        kind: 'REFUSED',
        number: whole(values[1], 'a number'),
        group: text(values[2], 'a group'),
        refusal: refusalOf(values.slice(3)),
      }
    case MESSAGES:
      if (channel !== 'control') fail('messages without a payload go on the control channel')
      return { kind: 'MESSAGES', deliveries: deliveriesOf(values, find) }
    case LOADED: {
      if (channel !== 'data') fail('loaded messages go on the data channel')
      const joined = joinedOf(values[1], find)
      return {
        kind: 'MESSAGES',
        deliveries: [{ joined, message: messageOf(values.slice(2), joined.between, payloadBytes) }],
      }
    }
    default:
      return fail(`no frame of a host has the code ${String(values[0])}`)
  }
}

function deliveriesOf(values: readonly unknown[], find: FindJoined): Delivery[] {
  const deliveries: Delivery[] = []
  for (let at = 1; at < values.length;) {
    const joined = joinedOf(values[at], find)
    const end = at + 2 + whole(values[at + 1], 'a count of values')
    if (end > values.length) fail('a bundle ends with its last message')
    deliveries.push({ joined, message: messageOf(values.slice(at + 2, end), joined.between, 0) })
    at = end
  }
  return deliveries
}

function joinedOf(number: unknown, find: FindJoined): Joined {
  return find(whole(number, 'a number')) ?? fail(`nobody has joined on this connection with number ${String(number)}`)
}

function fail(why: string): never {
  throw new FrameError(why, { code: 'CONTENT' })
}

function count(values: readonly unknown[], expected: number): void {
  if (values.length !== expected) fail(`a frame of code ${String(values[0])} has ${expected} values`)
}

function whole(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail(`${name} is a whole number`)
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && value.length <= TEXT_CHARACTERS_MAX) return value
  return fail(`${name} is a text of at most ${TEXT_CHARACTERS_MAX} characters`)
}
