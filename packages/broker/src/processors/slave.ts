/**
 * A broker asks to copy this one, or how its log is to the one here: JOIN_AS_SLAVE, ours.
 *
 * Keeps:
 *   - only a master by configuration lets anybody in, and no more than `SLAVES_MAX`; a slave that is not connected gives way to a new one;
 *   - nobody is let in whose log has what the one here does not.
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
import type { BrokerContext } from '../context.ts'
import { replacedAt, standingOf, type Verdict } from '../slaves/standing.ts'
import type { Processor } from './registry.ts'

export const SLAVES_MAX = 8

export function slaveProcessors({ config, store, logger }: BrokerContext): [number, Processor][] {
  async function join(_connection: Connection, request: RemotingCommand): Promise<RemotingCommand> {
    const header = JoinAsSlaveRequest.decode(request.extFields)
    const { copies } = store
    const own = copies.standing()
    const ownAddress = copies.ownAddress
    if (config.classic !== 'master' || header.brokerName !== config.brokerName) {
      return refused(`this broker, ${config.brokerName}, is no master that slaves copy`)
    }
    if (!store.isReady() || ownAddress === null) {
      return createResponse(ResponseCode.SERVICE_NOT_AVAILABLE, 'this master does not take messages yet')
    }
    const master = copies.masterStanding()
    const copy = { ...header, masterStore: header.masterStore ?? null }
    const verdict = verdictOn(header, replacedAt(master, copy.storeId), standingOf(master, copy))
    if (verdict.kind === 'FITS' && header.haAddress !== undefined) {
      if (header.memberId === own.id) return refused(`the master has the id ${own.id}, so no slave can`)
      const full = await letIn(header.memberId, header.haAddress)
      if (full !== null) return refused(full)
    }
    return JoinAsSlaveResponse.response(ResponseCode.SUCCESS, {
      verdict: verdict.kind,
      lastIndex: 'lastIndex' in verdict ? verdict.lastIndex : -1,
      memberId: own.id,
      storeId: own.storeId,
      haAddress: ownAddress,
    })
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
    await copies.add(id, address)
    logger.info({ slave: id, address }, 'a slave is let in')
    return null
  }

  return [[RequestCode.JOIN_AS_SLAVE, { served: 'here', handle: join }]]
}

/** Who only asks is told whether its own store was replaced; a slave, whose log is what counts, what becomes of that. */
function verdictOn(
  { haAddress }: JoinAsSlaveRequest,
  replaced: number | null,
  standing: Verdict,
): Verdict | { readonly kind: 'REPLACED'; readonly lastIndex: number } {
  return replaced === null || haAddress !== undefined ? standing : { kind: 'REPLACED', lastIndex: replaced }
}

function refused(remark: string): RemotingCommand {
  return createResponse(ResponseCode.NO_PERMISSION, remark)
}
