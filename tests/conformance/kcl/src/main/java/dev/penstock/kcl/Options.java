package dev.penstock.kcl;

import java.util.HashMap;
import java.util.Map;

/** {@code --name value} pairs. */
record Options(Map<String, String> values) {
    static Options parse(String[] arguments) {
        if (arguments.length % 2 != 0) {
            throw new IllegalArgumentException("arguments are pairs: --name value");
        }
        Map<String, String> values = new HashMap<>();
        for (int at = 0; at < arguments.length; at += 2) {
            if (!arguments[at].startsWith("--")) {
                throw new IllegalArgumentException(arguments[at] + " is no name: --name value");
            }
            values.put(arguments[at].substring(2), arguments[at + 1]);
        }
        return new Options(values);
    }

    String text(String name) {
        String value = values.get(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    boolean flag(String name) {
        return Boolean.parseBoolean(values.get(name));
    }

    long number(String name, long otherwise) {
        return values.containsKey(name) ? Long.parseLong(text(name)) : otherwise;
    }
}
