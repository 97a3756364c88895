/**
 * A broker asks to copy this one, or how its log is to the one here: JOIN_AS_SLAVE, ours.
 *
 * Keeps:
 *   - only a master by configuration lets anybody in, and no more than `SLAVES_MAX`; a slave that is not connected gives way to a new one;
 *   - nobody is let in whose log has what the one here does not;
 *   - with credentials, nobody is answered who does not prove to have the same, and the answer proves it in turn;
 *   - a master that is held up by damage lets those come by whom it may be repaired, and changes nothing in its log;
 *   - what goes into a configuration of the log, and from there into every hard state, is short, and what brokers make.
 */
import {
  type Connection,
  createResponse,
  JoinAsSlaveRequest,
  JoinAsSlaveResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
} from '@dledger-ts/remoting'
import { innerCredentials } from '../config/access-keys.ts'
import { memberNumber } from '../config/peers.ts'
import type { BrokerContext } from '../context.ts'
import { JoinSeal } from '../slaves/join-seal.ts'
import { replacedAt, standingOf, type Verdict } from '../slaves/standing.ts'
import type { Processor } from './registry.ts'

export const SLAVES_MAX = 8
const UNPROVEN = 'who asks has other innerClientAuthenticationCredentials than this broker, or none'
const NOT_YET = 'this master does not take messages yet'
const ID_LENGTH_MAX = 64
const HOST_BYTES_MAX = 255
/** Of ids and addresses of all slaves, as JSON: they share one slot of the hard state with what else is there. */
const NAMED_BYTES_MAX = 1_024
/** As `brokerIP2` allows it. */
const HOST_AND_PORT = /^([^\s,:]+):(\d{1,5})$/

export function slaveProcessors({ config, store, logger }: BrokerContext): [number, Processor][] {
  const credentials = innerCredentials(config)
  const seal = credentials === null ? null : new JoinSeal(credentials)
  /** Who is let in at the same time is not counted yet. */
  let lastLetIn: Promise<unknown> = Promise.resolve()

  async function join(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = JoinAsSlaveRequest.decode(request.extFields)
    if (seal !== null && !seal.isRequest(header)) return refused(UNPROVEN)
    const fault = faultOf(header)
    if (fault !== null) return refused(fault)
    const { copies } = store
    const own = copies.standing()
    const ownAddress = copies.ownAddress
    if (config.classic !== 'master' || header.brokerName !== config.brokerName) {
      return refused(`this broker, ${config.brokerName}, is no master that slaves copy`)
    }
    // One that waits for a repair gets it from its slaves: those that it has may come.
    const isKnown = copies.isHeldUp && copies.slaves().some(({ id }) => id === header.memberId)
    if ((!store.isReady() && !isKnown) || ownAddress === null) {
      return notAvailable(NOT_YET)
    }
    const master = copies.masterStanding()
    const copy = { ...header, masterStore: header.masterStore ?? null }
    const verdict = verdictOn(header, replacedAt(master, copy.storeId), standingOf(master, copy))
    // It may have what is missing here: nothing of it is put aside for a log that is not whole.
    if (verdict.kind === 'PARTED' && !store.isReady()) return notAvailable(NOT_YET)
    if (verdict.kind === 'UNKNOWN')
      return notAvailable('what would tell how the two logs are to each other is damaged here')
    if (verdict.kind === 'FITS' && header.haAddress !== undefined && store.isReady()) {
      if (header.memberId === own.id) return refused(`the master has the id ${own.id}, so no slave can`)
      const full = await letInNext(header.memberId, header.haAddress)
      if (full !== null) return refused(full)
    }
    const answer: JoinAsSlaveResponse = {
      verdict: verdict.kind,
      lastIndex: 'lastIndex' in verdict ? verdict.lastIndex : -1,
      memberId: own.id,
      storeId: own.storeId,
      haAddress: ownAddress,
    }
    return JoinAsSlaveResponse.response(ResponseCode.SUCCESS, seal?.sealAnswer(header, answer) ?? answer)
  }

  function letInNext(id: string, address: string): Promise<string | null> {
    const next = lastLetIn.then(() => letIn(id, address))
    // One that fails is told so, and holds nobody up.
    lastLetIn = next.catch(() => {})
    return next
  }

  /** @returns why it is not. */
  async function letIn(id: string, address: string): Promise<string | null> {
    const { copies } = store
    const slaves = copies.slaves()
    if (slaves.length >= SLAVES_MAX && !slaves.some((slave) => slave.id === id)) {
      const gone = slaves.find(({ isConnected }) => !isConnected)
      if (gone === undefined) return `this master has ${slaves.length} slaves, which are connected; no more are allowed`
      logger.warn({ gone: gone.id, slave: id }, 'a slave that is not connected gives way to another one')
      await copies.remove(gone.id)
    }
    const named = copies.slaves().filter((slave) => slave.id !== id)
    const namedBytes = [...named, { id, address }].reduce((sum, slave) => sum + jsonBytes(slave), 0)
    if (namedBytes > NAMED_BYTES_MAX)
      return `the ids and addresses of all slaves are longer than ${NAMED_BYTES_MAX} bytes`
    await copies.add(id, address)
    logger.info({ slave: id, address }, 'a slave is let in')
    return null
  }

  // What is said of a log is in the log, and not in what is made of it.
  const served = { served: 'here', whileRebuilding: true, provesSenders: seal !== null } as const
  return [[RequestCode.JOIN_AS_SLAVE, { ...served, handle: join }]]
}

/** @returns what is wrong with what it says of itself. */
function faultOf({ memberId, haAddress }: JoinAsSlaveRequest): string | null {
  if (memberId.length > ID_LENGTH_MAX || memberNumber(memberId) < 0) {
    return `memberId: allowed are letters and a number, like s1, at most ${ID_LENGTH_MAX} characters`
  }
  if (haAddress === undefined) return null
  const [, host = '', port = ''] = HOST_AND_PORT.exec(haAddress) ?? []
  if (host !== '' && Buffer.byteLength(host) <= HOST_BYTES_MAX && Number(port) >= 1 && Number(port) <= 65_535)
    return null
  return `haAddress: allowed is host:port, the host at most ${HOST_BYTES_MAX} bytes without spaces, commas and colons`
}

function jsonBytes({ id, address }: { readonly id: string; readonly address: string | null }): number {
  return Buffer.byteLength(JSON.stringify(id + (address ?? '')))
}

/** Who only asks is told whether its own store was replaced; a slave, whose log is what counts, what becomes of that. */
function verdictOn(
  { haAddress }: JoinAsSlaveRequest,
  replaced: number | null,
  standing: Verdict,
): Verdict | { readonly kind: 'REPLACED'; readonly lastIndex: number } {
  return replaced === null || haAddress !== undefined ? standing : { kind: 'REPLACED', lastIndex: replaced }
}

function notAvailable(remark: string): RemotingCommand {
  return createResponse(ResponseCode.SERVICE_NOT_AVAILABLE, remark)
}

function refused(remark: string): RemotingCommand {
  return createResponse(ResponseCode.NO_PERMISSION, remark)
}
