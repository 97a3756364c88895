export { Namesrv, type NamesrvOptions } from './namesrv.ts'
export {
  type BrokerIdentity,
  DEFAULT_HEARTBEAT_TIMEOUT_MS,
  MASTER_ID,
  type Registration,
  type RegistrationResult,
  RouteTable,
} from './route-table.ts'
