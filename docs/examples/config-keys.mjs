// Prints the tables of configuration keys that docs/operations.md shows: `node docs/examples/config-keys.mjs`.
import { CONFIG_KEYS } from '@dledger-ts/broker'

console.log('| key | allowed | default | meaning |\n| --- | --- | --- | --- |')
for (const [key, { type, unit, min, max, choices, what, default: standard }] of Object.entries(CONFIG_KEYS)) {
  const allowed =
    type === 'int'
      ? `${min} to ${max}${unit === undefined ? '' : ` ${unit}`}`
      : type === 'choice'
        ? choices.filter((each) => each !== '').join(', ')
        : type === 'boolean'
          ? 'true or false'
          : 'text'
  console.log(`| \`${key}\` | ${allowed} | ${standard === '' ? '–' : `\`${standard}\``} | ${what} |`)
}
