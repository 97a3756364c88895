/** What brokers tell about themselves. */
import { crc32 } from '@dledger-ts/base'
import {
  AddWritePermRequest,
  AddWritePermResponse,
  BrokerHeartbeatRequest,
  type Connection,
  createResponse,
  dataVersionText,
  decodeDataVersion,
  decodeRegisterBrokerBody,
  encodeKvTable,
  equalDataVersions,
  QueryDataVersionRequest,
  QueryDataVersionResponse,
  type RegisterBrokerBody,
  RegisterBrokerRequest,
  RegisterBrokerResponse,
  type RemotingCommand,
  RequestCode,
  ResponseCode,
  UnregisterBrokerRequest,
  WipeWritePermRequest,
  WipeWritePermResponse,
} from '@dledger-ts/remoting'
import { ORDER_TOPIC_NAMESPACE } from '../key-value-table.ts'
import { type NamesrvContext, type ProcessorEntry, success } from './context.ts'

const CRC_MASK = 0x7fff_ffff

export function registrationProcessors(context: NamesrvContext): ProcessorEntry[] {
  return [
    [RequestCode.REGISTER_BROKER, (connection, request) => registerBroker(context, connection, request)],
    [RequestCode.UNREGISTER_BROKER, (_, request) => unregisterBroker(context, request)],
    [RequestCode.QUERY_DATA_VERSION, (_, request) => queryDataVersion(context, request)],
    [RequestCode.BROKER_HEARTBEAT, (_, request) => heartbeat(context, request)],
    [RequestCode.WIPE_WRITE_PERM_OF_BROKER, (_, request) => wipeWritePerm(context, request)],
    [RequestCode.ADD_WRITE_PERM_OF_BROKER, (_, request) => addWritePerm(context, request)],
  ]
}

function registerBroker(context: NamesrvContext, connection: Connection, request: RemotingCommand): RemotingCommand {
  const header = RegisterBrokerRequest.decode(request.extFields)
  const bytes = request.bodyBytes
  if (header.bodyCrc32 !== 0 && (crc32(bytes) & CRC_MASK) !== header.bodyCrc32) {
    return createResponse(ResponseCode.SYSTEM_ERROR, 'crc32 not match')
  }
  const { clusterName, brokerName, brokerId, brokerAddr, haServerAddr } = header
  const broker = { clusterName, brokerName, brokerId, brokerAddr }
  const result = context.routes.register(
    {
      ...broker,
      haServerAddr,
      heartbeatTimeoutMs: header.heartbeatTimeoutMillis,
      enableActingMaster: header.enableActingMaster,
      zoneName: header.zoneName,
      body: bytes.length === 0 ? EMPTY_BODY : decodeRegisterBrokerBody(bytes),
      connectionId: connection.id,
    },
    context.clock.monotonicMs(),
  )
  switch (result.kind) {
    case 'registered': {
      if (result.isNew) context.logger.info({ ...broker, remote: connection.remoteAddress }, 'a broker registered')
      const { master } = result
      const answer = master === undefined ? {} : { masterAddr: master.address, haServerAddr: master.haServerAddr }
      return RegisterBrokerResponse.response(ResponseCode.SUCCESS, answer, undefined, orderTopics(context))
    }
    case 'outdated': {
      const { liveAddr, liveStateVersion } = result
      context.logger.warn(
        { ...broker, liveAddr, liveStateVersion },
        'ignored a registration of an outdated state version',
      )
      return RegisterBrokerResponse.response(ResponseCode.SUCCESS, {})
    }
    case 'incomplete':
      return createResponse(ResponseCode.SYSTEM_ERROR, 'register broker failed')
    case 'tooMany':
      context.logger.error({ ...broker, addressesMax: result.addressesMax }, 'refused a broker: the table is full')
      return createResponse(ResponseCode.SYSTEM_ERROR, `more than ${result.addressesMax} broker addresses`)
  }
}

/** A registration without a body is one without topics. */
const EMPTY_BODY: RegisterBrokerBody = {
  dataVersion: { counter: 0, stateVersion: 0, timestamp: 0 },
  topics: new Map(),
  filterServers: [],
}

function orderTopics(context: NamesrvContext): Buffer | undefined {
  if (!context.returnOrderTopicConfigToBroker) return undefined
  const table = context.keyValues.list(ORDER_TOPIC_NAMESPACE)
  return table === undefined ? undefined : encodeKvTable(table)
}

function unregisterBroker(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const broker = UnregisterBrokerRequest.decode(request.extFields)
  const wasRegistered = context.routes.unregister(broker)
  context.logger.info({ ...broker, wasRegistered }, 'a broker unregistered')
  return success()
}

function queryDataVersion(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { clusterName, brokerAddr } = QueryDataVersionRequest.decode(request.extFields)
  const asked = decodeDataVersion(request.bodyBytes)
  const known = context.routes.dataVersion(clusterName, brokerAddr)
  context.routes.touch(clusterName, brokerAddr, context.clock.monotonicMs())
  const changed = known === undefined || !equalDataVersions(known, asked)
  const body = known === undefined ? undefined : Buffer.from(dataVersionText(known))
  return QueryDataVersionResponse.response(ResponseCode.SUCCESS, { changed }, undefined, body)
}

function heartbeat(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { clusterName, brokerAddr } = BrokerHeartbeatRequest.decode(request.extFields)
  context.routes.touch(clusterName, brokerAddr, context.clock.monotonicMs())
  return success()
}

function wipeWritePerm(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { brokerName } = WipeWritePermRequest.decode(request.extFields)
  const wipeTopicCount = context.routes.wipeWritePerm(brokerName)
  context.logger.info({ brokerName, wipeTopicCount }, 'wiped the write permission of a broker')
  return WipeWritePermResponse.response(ResponseCode.SUCCESS, { wipeTopicCount })
}

function addWritePerm(context: NamesrvContext, request: RemotingCommand): RemotingCommand {
  const { brokerName } = AddWritePermRequest.decode(request.extFields)
  const addTopicCount = context.routes.addWritePerm(brokerName)
  context.logger.info({ brokerName, addTopicCount }, 'added the write permission of a broker')
  return AddWritePermResponse.response(ResponseCode.SUCCESS, { addTopicCount })
}
