/**
 * The first words on a connection between members, and the rules by which both sides judge each other.
 *
 *   the side that dialed: Hello (who I am, whom I mean, for what)  ──►
 *                                         ◄──  Welcome (who I am)  or  Refused (why not), after which it closes
 *
 * The frames of these words, the form of the refusal and the place of the wire version in Hello never change, so members of any two
 * versions can still tell each other why they do not fit.
 */
import type { MemberId } from '../raft/messages.ts'
import type { Scalar } from './control-part.ts'
import { FrameError } from './frame-codec.ts'
import { type Hello, type Refusal, REFUSAL_KINDS, type Standing } from './transport.ts'

export const WIRE_VERSION = 4

const HELLO = 101
const WELCOME = 102
const REFUSED = 103

/** Log bytes and nothing else go on `data`; all that is small and urgent goes on `control`. */
export type Channel = 'control' | 'data'

const TEXT_CHARACTERS_MAX = 1_024
/** Lives before the present one that are told. */
export const FORMER_LIVES_MAX = 16
/** Between numbers, and between store identities, which have none. */
const BLANK = ' '

export interface Introduction {
  readonly hello: Hello
  /** The member that the dialing side expects at this address. */
  readonly to: MemberId
  readonly channel: Channel
}

export type Answer = { readonly welcome: true; readonly hello: Hello } | ({ readonly welcome: false } & Refusal)

export function introductionValues(introduction: Introduction): Scalar[] {
  const { hello, to, channel } = introduction
  return [HELLO, ...helloValues(hello), to, channel]
}

/** @throws FrameError when the values are no introduction. */
export function introductionOf(values: readonly unknown[]): Introduction {
  if (values[0] !== HELLO) fail('the first frame of a connection is a hello')
  // Another version may say more or other things: it only has to be recognisable, so that it can be refused with a reason.
  const hello = helloOf(values)
  if (hello.wireVersion !== WIRE_VERSION) return { hello, to: '', channel: 'control' }
  if (values.length !== 15) fail('a hello has fifteen values')
  const channel = values[14]
  if (channel !== 'control' && channel !== 'data') return fail('a connection is for control or for data')
  return { hello, to: text(values[13], 'to'), channel }
}

export function answerValues(answer: Answer): Scalar[] {
  if (answer.welcome) return [WELCOME, ...helloValues(answer.hello)]
  return [REFUSED, ...refusalValues(answer)]
}

/** Whether these values are a refusal, well formed or not. */
export function isRefusal(values: readonly unknown[]): boolean {
  return values[0] === REFUSED
}

/** @throws FrameError when the values are no answer to a hello. */
export function answerOf(values: readonly unknown[]): Answer {
  if (values[0] === REFUSED) return { welcome: false, ...refusalOf(values.slice(1)) }
  if (values[0] !== WELCOME) fail('a hello is answered by a welcome or a refusal')
  return { welcome: true, hello: helloOf(values) }
}

/**
 * Judges the other side's hello by one's own.
 *
 * @param peers the members that this one counts as its peers; null: who is one was judged already.
 * @returns null when it fits, else a refusal whose line names both values and reads the same on both sides.
 */
export function whyUnfit(own: Hello, other: Hello, peers: Iterable<MemberId> | null): Refusal | null {
  const misfit = whyMisfit(own, other)
  if (misfit !== null) return misfitRefusal(other, misfit)
  if (peers === null) return null
  const known = [...peers]
  if (known.includes(other.member)) return null
  const why = `"${other.member}" is not a peer of ${own.member}, whose peers are ${known.join(', ') || 'none'}`
  return { kind: 'STRANGER', why, member: other.member, configurationIndex: -1 }
}

function whyMisfit(own: Hello, other: Hello): string | null {
  if (other.wireVersion !== own.wireVersion) {
    return `the wire version differs: ${own.member} speaks ${own.wireVersion}, ${other.member} speaks ${other.wireVersion}`
  }
  if (other.group !== own.group) {
    return `the group differs: ${own.member} is of "${own.group}", ${other.member} is of "${other.group}"`
  }
  if (other.fileBytes !== own.fileBytes) {
    return `the file size differs: ${own.member} has files of ${own.fileBytes} bytes, ${other.member} of ${other.fileBytes}`
  }
  if (other.leaseReads !== own.leaseReads) {
    const [on, off] = own.leaseReads ? [own.member, other.member] : [other.member, own.member]
    return `leaseReads differs: ${on} reads under leases, ${off} does not keep the promises they rest on`
  }
  return null
}

/** @returns the line for a dialer that reached another member than it meant, else null. */
export function whyMisdirected(own: Hello, introduction: Introduction): Refusal | null {
  const { hello, to } = introduction
  if (to === own.member) return null
  return misfitRefusal(hello, `${hello.member} dialed "${to}" and reached ${own.member}: an address is wrong`)
}

function misfitRefusal(other: Hello, why: string): Refusal {
  return { kind: 'MISFIT', why, member: other.member, configurationIndex: -1 }
}

export function refusalValues({ why, kind, member, configurationIndex }: Refusal): Scalar[] {
  return [why.slice(0, TEXT_CHARACTERS_MAX), kind, member, configurationIndex]
}

/** @throws FrameError. A refusal may say less: what the other side does not know is a plain misfit. */
export function refusalOf(values: readonly unknown[]): Refusal {
  const [why, kind, member, configurationIndex] = values
  const known = REFUSAL_KINDS.find((each) => each === kind)
  return {
    why: text(why, 'why'),
    kind: known ?? 'MISFIT',
    member: known === undefined ? '' : text(member, 'member'),
    configurationIndex: Number.isSafeInteger(configurationIndex) ? (configurationIndex as number) : -1,
  }
}

export function helloValues(hello: Hello): Scalar[] {
  const { wireVersion, group, member, storeId, fileBytes, advertised, leaseReads, standing } = hello
  const lives = [...hello.formerIncarnations, hello.incarnation].join(BLANK)
  const own = [wireVersion, group, member, storeId, fileBytes, advertised, lives, leaseReads]
  if (standing === null) return [...own, -1, -1, '', '']
  const { lastTerm, lastIndex, address, stores } = standing
  return [...own, lastTerm, lastIndex, address ?? '', storesText(stores)]
}

/** @throws FrameError when what follows the first value is no hello. */
export function helloOf(values: readonly unknown[]): Hello {
  const [, wireVersion, group, member, storeId, fileBytes, advertised, lives, leaseReads] = values
  return {
    wireVersion: whole(wireVersion, 'wireVersion'),
    group: text(group, 'group'),
    member: text(member, 'member'),
    storeId: text(storeId, 'storeId'),
    fileBytes: whole(fileBytes, 'fileBytes'),
    advertised: text(advertised, 'advertised'),
    // Another version may not know it: it is refused for its version, not for its form.
    ...(wireVersion === WIRE_VERSION ? livesOf(text(lives, 'lives')) : { incarnation: 0, formerIncarnations: [] }),
    leaseReads: wireVersion === WIRE_VERSION ? flag(leaseReads, 'leaseReads') : false,
    standing: wireVersion === WIRE_VERSION ? standingOf(values.slice(9)) : null,
  }
}

function livesOf(said: string): Pick<Hello, 'incarnation' | 'formerIncarnations'> {
  const lives = said.split(BLANK).map((life) => whole(/^\d+$/.test(life) ? Number(life) : null, 'a life'))
  if (lives.length > FORMER_LIVES_MAX + 1) fail('a hello says too many former lives')
  return { incarnation: lives.at(-1) as number, formerIncarnations: lives.slice(0, -1) }
}

/** As many of them as a text takes: one that both know is enough. */
function storesText(stores: readonly string[]): string {
  let said = ''
  for (const store of stores) {
    const longer = said === '' ? store : `${said}${BLANK}${store}`
    if (!store.includes(BLANK) && longer.length <= TEXT_CHARACTERS_MAX) said = longer
  }
  return said
}

function standingOf([lastTerm, lastIndex, address, stores]: readonly unknown[]): Standing | null {
  if (lastIndex === -1) return null
  const said = text(stores, 'stores')
  return {
    lastTerm: whole(lastTerm, 'lastTerm'),
    lastIndex: whole(lastIndex, 'lastIndex'),
    address: text(address, 'address') || null,
    stores: said === '' ? [] : said.split(BLANK),
  }
}

function fail(why: string): never {
  throw new FrameError(why, { code: 'CONTENT' })
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && value.length <= TEXT_CHARACTERS_MAX) return value
  return fail(`${name} is a text of at most ${TEXT_CHARACTERS_MAX} characters`)
}

function flag(value: unknown, name: string): boolean {
  return typeof value === 'boolean' ? value : fail(`${name} is true or false`)
}

function whole(value: unknown, name: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : fail(`${name} is a whole number`)
}

/** A refusal before anybody has said who they are. */
export function misfit(why: string): Refusal {
  return { kind: 'MISFIT', why, member: '', configurationIndex: -1 }
}

/** What a refusal without proof is worth: that the two do not fit. Whatever else it says, it is about nobody, and ends a connection only. */
export function unproven({ kind, why }: Refusal): Refusal {
  return kind === 'MISFIT' ? misfit(why) : { kind: 'STRANGER', why, member: '', configurationIndex: -1 }
}
