package interop;

import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.HashMap;
import java.util.Map;
import org.apache.rocketmq.filter.SqlFilter;
import org.apache.rocketmq.filter.expression.EvaluationContext;
import org.apache.rocketmq.filter.expression.Expression;
import org.apache.rocketmq.filter.expression.MQFilterException;

/**
 * What Apache's filter module says of expressions. Each line of the file is an expression and a message's properties, both in
 * base64; one line is printed for each: refused, error, true, false or null.
 */
public final class EvaluateFilters {
    public static void main(String[] args) throws Exception {
        StringBuilder out = new StringBuilder();
        for (String line : Files.readAllLines(Path.of(args[0]))) {
            int space = line.indexOf(' ');
            out.append("outcome ").append(outcome(text(line.substring(0, space)), text(line.substring(space + 1))));
            out.append('\n');
        }
        System.out.print(out);
    }

    private static String outcome(String expression, String block) {
        Expression compiled;
        try {
            compiled = new SqlFilter().compile(expression);
        } catch (MQFilterException refused) {
            return "refused";
        }
        try {
            Object value = compiled.evaluate(new Properties(block));
            return value == null || value instanceof Boolean ? String.valueOf(value) : "no-boolean";
        } catch (Throwable failure) {
            return "error";
        }
    }

    private static String text(String base64) {
        return new String(Base64.getDecoder().decode(base64), StandardCharsets.UTF_8);
    }

    private static final class Properties implements EvaluationContext {
        private final Map<String, Object> values = new HashMap<>();

        Properties(String block) {
            for (String piece : block.split("\u0002")) {
                int end = piece.indexOf('\u0001');
                if (end > 0) values.put(piece.substring(0, end), piece.substring(end + 1));
            }
        }

        @Override
        public Object get(String name) {
            return values.get(name);
        }

        @Override
        public Map<String, Object> keyValues() {
            return values;
        }
    }
}
