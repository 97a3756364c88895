/**
 * TLS has a properties file of its own with Apache, which servers and clients of one machine share: what it says counts instead of
 * what the configuration says.
 */
import { existsSync } from 'node:fs'
import { type PropertiesFile, readPropertiesFile } from './properties-file.ts'

/** Apache's default. */
export const TLS_FILE = '/etc/rocketmq/tls.properties'
const PATH_KEY = 'tls.config.file'

/** @throws Error that names the file when it was asked for and cannot be read. */
export function withTlsFile(
  file: PropertiesFile | null,
  byDefault: string = TLS_FILE,
): { readonly values: Record<string, string>; readonly warnings: readonly string[] } {
  const { values = {}, warnings = [] } = file ?? {}
  const asked = values[PATH_KEY]
  const path = asked ?? byDefault
  // A configuration that was printed names the default.
  const isByDefault = asked === undefined || asked === byDefault
  if (path === '' || (isByDefault && !existsSync(path))) return { values: { ...values }, warnings }
  const tls = readTlsFile(path)
  return { values: { ...values, ...tls.values }, warnings: [...warnings, ...tls.warnings] }
}

function readTlsFile(path: string): PropertiesFile {
  try {
    return readPropertiesFile(path)
  } catch (cause) {
    throw new Error(`${PATH_KEY}=${path}: ${(cause as Error).message}`, { cause })
  }
}
