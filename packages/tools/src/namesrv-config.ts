/** The namesrv's configuration: Apache's key names, read once, checked, frozen. */
import { z } from 'zod'
import { TLS_FILE } from './server/tls-file.ts'

/** As the broker reads them: what JavaScript takes for a number besides, as an empty value or `0x10`, is a mistake here. */
function whole(min: number, max: number, unit = '') {
  const isAllowed = (text: string) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max
  const error = `allowed is a whole number from ${min} to ${max}${unit}`
  return z.string().trim().refine(isAllowed, { error }).transform(Number)
}

function choice<const Choice extends string>(choices: readonly Choice[]) {
  return z.enum(choices, { error: `allowed is ${choices.join(', ')}` })
}

const port = whole(0, 65_535)
const flag = z
  .string()
  .trim()
  .toLowerCase()
  .refine((text) => text === 'true' || text === 'false', { error: 'allowed is true or false' })
  .transform((text) => text === 'true')
const address = z.string().min(1, { error: 'allowed is an address or a host name' })

const schema = z.object({
  listenPort: port.default(9876),
  bindAddress: address.default('0.0.0.0'),
  scanNotActiveBrokerInterval: whole(100, 3_600_000, ' ms').default(10_000),
  orderMessageEnable: flag.default(false),
  returnOrderTopicConfigToBroker: flag.default(true),
  metricsPromExporterPort: port.default(5556),
  metricsPromExporterHost: address.default('127.0.0.1'),
  'tls.server.mode': choice(['disabled', 'permissive', 'enforcing']).default('permissive'),
  'tls.server.keyPath': z.string().default(''),
  'tls.server.keyPassword': z.string().default(''),
  'tls.server.certPath': z.string().default(''),
  'tls.server.trustCertPath': z.string().default(''),
  'tls.server.need.client.auth': choice(['none', 'optional', 'require']).default('none'),
  'tls.server.authClient': flag.default(false),
  'tls.server.handshakesPerSecond': whole(1, 100_000).default(250),
  'tls.test.mode.enable': flag.default(false),
  'tls.config.file': z.string().default(TLS_FILE),
})

export type NamesrvConfig = Readonly<z.infer<typeof schema>>

/** Keys of Apache's namesrv that change nothing here. */
const WITHOUT_EFFECT = new Set([
  'rocketmqHome',
  'kvConfigPath',
  'configStorePath',
  'productEnvName',
  'clusterTest',
  'serverWorkerThreads',
  'serverCallbackExecutorThreads',
  'serverSelectorThreads',
  // A namesrv dials nobody.
  'tls.enable',
  'tls.client.keyPath',
  'tls.client.keyPassword',
  'tls.client.certPath',
  'tls.client.trustCertPath',
  'tls.client.authServer',
])

export const NAMESRV_KEYS: readonly string[] = Object.keys(schema.shape)

/** @throws Error that names the key, its value and what is allowed. */
export function parseNamesrvConfig(values: Readonly<Record<string, string>>): {
  config: NamesrvConfig
  /** Keys that mean nothing here. */
  unknown: readonly string[]
  withoutEffect: readonly string[]
} {
  const parsed = schema.safeParse(values)
  if (!parsed.success) {
    const issue = parsed.error.issues[0] as z.core.$ZodIssue
    const key = String(issue.path[0])
    throw new Error(`${key}=${values[key] ?? ''}: ${issue.message}`)
  }
  const others = Object.keys(values).filter((key) => !NAMESRV_KEYS.includes(key))
  return {
    config: Object.freeze(parsed.data),
    unknown: others.filter((key) => !WITHOUT_EFFECT.has(key)),
    withoutEffect: others.filter((key) => WITHOUT_EFFECT.has(key)),
  }
}
