/** What a broker tells a namesrv about itself. */
import { RequestCode } from '../codes.ts'
import { boolean, defaulted, header, type HeaderOf, int32, int64, named, optional, string } from './header.ts'

/**
 * A broker says that it lives, which topics it has and under which id it serves. Body: RegisterBrokerBody.
 *
 * `bodyCrc32` is the CRC-32 of the body as sent with bit 31 cleared; 0 means unchecked.
 */
export const RegisterBrokerRequest = header(RequestCode.REGISTER_BROKER, {
  brokerName: string,
  brokerAddr: string,
  clusterName: string,
  haServerAddr: string,
  brokerId: int64,
  heartbeatTimeoutMillis: optional(int64),
  enableActingMaster: optional(boolean),
  compressed: defaulted(boolean, false),
  bodyCrc32: defaulted(int32, 0),
  zoneName: named('__ZONE_NAME', optional(string)),
})
export type RegisterBrokerRequest = HeaderOf<typeof RegisterBrokerRequest>

/** Where the present master is, for a broker that is none. */
export const RegisterBrokerResponse = header(RequestCode.REGISTER_BROKER, {
  haServerAddr: optional(string),
  masterAddr: optional(string),
})
export type RegisterBrokerResponse = HeaderOf<typeof RegisterBrokerResponse>

export const UnregisterBrokerRequest = header(RequestCode.UNREGISTER_BROKER, {
  brokerName: string,
  brokerAddr: string,
  clusterName: string,
  brokerId: int64,
})
export type UnregisterBrokerRequest = HeaderOf<typeof UnregisterBrokerRequest>

/** Asks whether the topics of a data version (the body) are known already; renews the broker's life when they are. */
export const QueryDataVersionRequest = header(RequestCode.QUERY_DATA_VERSION, {
  brokerName: string,
  brokerAddr: string,
  clusterName: string,
  brokerId: int64,
})
export type QueryDataVersionRequest = HeaderOf<typeof QueryDataVersionRequest>
export const QueryDataVersionResponse = header(RequestCode.QUERY_DATA_VERSION, { changed: boolean })
export type QueryDataVersionResponse = HeaderOf<typeof QueryDataVersionResponse>

/** A sign of life without topics. */
export const BrokerHeartbeatRequest = header(RequestCode.BROKER_HEARTBEAT, {
  clusterName: string,
  brokerAddr: string,
  brokerName: string,
})
export type BrokerHeartbeatRequest = HeaderOf<typeof BrokerHeartbeatRequest>
