export { Broker, type BrokerOptions, type BrokerStatus } from './broker.ts'
export {
  type BrokerConfig,
  ConfigError,
  type ConfigEnvironment,
  type ConfigErrorDetail,
  describeKeys,
  parseConfig,
  type ParsedConfig,
  printConfig,
} from './config/config.ts'
export { CONFIG_KEYS, type ConfigKey, type KeyDeclaration } from './config/keys.ts'
export type { Peer } from './config/peers.ts'
export { ExpressionError } from './filter/expression-error.ts'
export { type Outcome, Sql92 } from './filter/sql92.ts'
